//! How large the conditions of a plan may grow: they are written out in terms of the columns below them.
//!
//! A condition is pushed down to the rows that it is about. On its way each column that is made of others is
//! replaced by what it is made of, so that columns made of each other twice (`x + x AS x`, level by level) double
//! it at each level, and whoever walks 2^30 of them never comes back. So they are counted before the plan is
//! optimised. What is selected does not grow: DataFusion merges projections only where no expression is doubled
//! by it (`merge_consecutive_projections` in its optimizer's optimize_projections).

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchemaRef};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::{Aggregate, Distinct, Expr, LogicalPlan, Subquery};

/// Columns that the conditions of a query may become more when they are written out: what people and tools write
/// becomes hundreds, and planning a filter that became 16,384 took two seconds.
const MAX_GROWTH: u64 = 10_000;

/// Refuses a plan whose conditions would grow beyond.
pub(super) fn check(plan: &LogicalPlan) -> Result<(), String> {
    let growth = of(plan);
    if growth <= MAX_GROWTH {
        return Ok(());
    }
    Err(format!(
        "conditions, joins, orders and largest values of the query become {growth} columns more when those \
         that are made of others are written out, {MAX_GROWTH} are taken: name a column fewer times where \
         another is made of it, or ask in several queries"
    ))
}

fn of(plan: &LogicalPlan) -> u64 {
    let mut growth = Growth(0);
    growth.columns(plan);
    growth.0
}

/// Columns that the conditions seen so far become more; `u64::MAX` stands for any more.
struct Growth(u64);

/// Inputs of a node: their columns, and of how many columns of tables each is made.
struct Below<'p>(Vec<(&'p DFSchemaRef, Vec<u64>)>);

/// An expression: columns that stand in it, and those that they are made of.
#[derive(Default)]
struct Size {
    named: u64,
    made_of: u64,
}

impl Growth {
    /// Of how many columns of tables each column of `plan` is made.
    fn columns(&mut self, plan: &LogicalPlan) -> Vec<u64> {
        let mut below = Below(Vec::new());
        for input in plan.inputs() {
            let columns = self.columns(input);
            below.0.push((input.schema(), columns));
        }
        match plan {
            LogicalPlan::Projection(projection) => self.made(&projection.expr, &below),
            LogicalPlan::Distinct(Distinct::On(distinct)) => {
                self.made(&distinct.on_expr, &below);
                self.made(&distinct.select_expr, &below)
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate, &below),
            LogicalPlan::Union(_) => below.by_place(),
            LogicalPlan::Filter(_) | LogicalPlan::Join(_) | LogicalPlan::Sort(_) => {
                self.conditions(&plan.expressions(), &below);
                below.passed(plan)
            }
            // Whatever else has expressions keeps them; queries in them have conditions.
            _ => {
                self.made(&plan.expressions(), &below);
                below.passed(plan)
            }
        }
    }

    fn aggregate(&mut self, aggregate: &Aggregate, below: &Below<'_>) -> Vec<u64> {
        let groups = self.made(&aggregate.group_expr, below);
        if groups.is_empty() {
            // A largest value so far is a condition on the rows that are still to be read.
            self.conditions(&aggregate.aggr_expr, below);
        } else {
            self.made(&aggregate.aggr_expr, below);
        }
        let answers = aggregate.aggr_expr.len();
        let columns = aggregate.schema.fields().len().saturating_sub(answers);
        // GROUPING SETS are one expression of several columns.
        let largest = groups.iter().copied().max().unwrap_or(1);
        let groups = if groups.len() == columns { groups } else { vec![largest; columns] };
        groups.into_iter().chain(std::iter::repeat_n(1, answers)).collect()
    }

    fn conditions(&mut self, all: &[Expr], below: &Below<'_>) {
        for one in all {
            let Size { named, made_of } = self.size(one, below);
            self.0 = self.0.saturating_add(made_of.saturating_sub(named));
        }
    }

    /// Of how many columns each of these expressions is made.
    fn made(&mut self, all: &[Expr], below: &Below<'_>) -> Vec<u64> {
        all.iter().map(|one| self.size(one, below).made_of.max(1)).collect()
    }

    fn size(&mut self, expr: &Expr, below: &Below<'_>) -> Size {
        let mut size = Size::default();
        // It never fails.
        let _ = expr.apply(|part| {
            match part {
                Expr::Column(column) => size.add(below.made_of(column)),
                Expr::Exists(Exists { subquery, .. }) => {
                    self.subquery(subquery, below, &mut size);
                }
                Expr::ScalarSubquery(subquery)
                | Expr::InSubquery(InSubquery { subquery, .. })
                | Expr::SetComparison(SetComparison { subquery, .. }) => {
                    let answers = self.subquery(subquery, below, &mut size);
                    answers.into_iter().for_each(|answer| size.add(answer));
                }
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        });
        size
    }

    /// The columns of a query in an expression; those that it takes from around it are added to `size`.
    fn subquery(&mut self, query: &Subquery, around: &Below<'_>, size: &mut Size) -> Vec<u64> {
        for outer in &query.outer_ref_columns {
            if let Expr::OuterReferenceColumn(_, column) = outer {
                size.add(around.made_of(column));
            }
        }
        self.columns(&query.subquery)
    }
}

impl Size {
    fn add(&mut self, made_of: u64) {
        self.named += 1;
        self.made_of = self.made_of.saturating_add(made_of);
    }
}

impl Below<'_> {
    fn made_of(&self, column: &Column) -> u64 {
        let found = self.0.iter().find_map(|(schema, made_of)| {
            made_of.get(schema.maybe_index_of_column(column)?).copied()
        });
        found.unwrap_or(1)
    }

    /// Columns of a node that makes none of others: by place where there are as many, else by name.
    fn passed(self, plan: &LogicalPlan) -> Vec<u64> {
        let schema = plan.schema();
        let all: usize = self.0.iter().map(|(_, made_of)| made_of.len()).sum();
        if all == schema.fields().len() {
            return self.0.into_iter().flat_map(|(_, made_of)| made_of).collect();
        }
        let columns = schema.iter().map(|(table, field)| Column::new(table.cloned(), field.name()));
        columns.map(|column| self.made_of(&column)).collect()
    }

    /// Columns of a union: a condition on one goes into each input.
    fn by_place(self) -> Vec<u64> {
        let mut inputs = self.0.into_iter().map(|(_, made_of)| made_of);
        let first = inputs.next().unwrap_or_default();
        inputs.fold(first, |so_far, input| {
            let places = so_far.iter().zip(input);
            places.map(|(so_far, input)| so_far.saturating_add(input - 1)).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;

    /// So many names of `WITH`, each with an `x` that is made of the one before it twice, and then `query`.
    fn plan(levels: usize, query: &str) -> LogicalPlan {
        let names = (1..=levels)
            .map(|level| format!(", c{level} AS (SELECT x + x AS x, g FROM c{})", level - 1));
        let first = "c0 AS (SELECT v AS x, v AS g FROM (VALUES (1), (2)) AS t(v))";
        let (explain, query) = match query.strip_prefix("EXPLAIN ") {
            Some(query) => ("EXPLAIN ", query),
            None => ("", query),
        };
        let sql = format!("{explain}WITH {first}{} {query}", names.collect::<String>());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let state = SessionContext::new().state();
        runtime.block_on(state.create_logical_plan(&sql)).expect(&sql)
    }

    #[test]
    fn a_condition_grows_by_what_its_columns_are_made_of() {
        for (query, expected) in [
            ("SELECT x FROM c3", 0),
            ("SELECT x FROM c3 WHERE g > 1", 0),
            ("SELECT x FROM c3 WHERE x > 1", 7),
            ("SELECT x FROM c3 WHERE x > 1 AND g > 1 AND x < 9", 14),
            ("EXPLAIN SELECT x FROM c3 WHERE x > 1", 7),
            ("SELECT x FROM (SELECT x FROM c3 LIMIT 2) WHERE x > 1", 7),
            ("SELECT x FROM c3 ORDER BY x LIMIT 1", 7),
            ("SELECT max(x) FROM c3", 7),
            ("SELECT g, max(x) FROM c3 GROUP BY g HAVING max(x) > 1", 0),
            ("SELECT x, count(*) FROM c3 GROUP BY x HAVING x > 1", 7),
            ("SELECT DISTINCT ON (x) g FROM c3", 0),
            ("SELECT a.g FROM c3 a JOIN c3 b ON a.x = b.x", 14),
            ("SELECT a.g FROM c3 a LEFT JOIN c0 b ON a.g = b.g WHERE a.x > b.x", 7),
            ("SELECT g FROM c0 WHERE x IN (SELECT x FROM c3)", 7),
            ("SELECT g FROM c3 WHERE EXISTS (SELECT 1 FROM c0 WHERE c0.x = c3.x)", 7),
            ("SELECT x FROM (SELECT x FROM c3 UNION ALL SELECT g FROM c3) WHERE x > 1", 7),
            ("SELECT x FROM (SELECT x FROM c3 UNION ALL SELECT x FROM c3) WHERE x > 1", 14),
            ("SELECT x FROM (SELECT x, row_number() OVER (ORDER BY g) n FROM c3) WHERE x > n", 7),
        ] {
            assert_eq!(of(&plan(3, query)), expected, "{query}");
        }
    }

    #[test]
    fn what_grows_too_much_is_refused_with_number_limit_and_fix() {
        assert!(check(&plan(64, "SELECT x FROM c64")).is_ok(), "it is no condition");
        assert!(check(&plan(13, "SELECT x FROM c13 WHERE x > 1")).is_ok());
        assert!(check(&plan(14, "SELECT x FROM c14 WHERE x > 1")).is_err());
        assert!(check(&plan(64, "SELECT x FROM c64 WHERE x > 1")).is_err());
        let said = check(&plan(30, "SELECT x FROM c30 WHERE x > 1")).unwrap_err();
        for word in ["1073741823 columns more", "10000 are taken", "fewer times"] {
            assert!(said.contains(word), "{said}");
        }
    }
}
