//! How large a statement's plan may grow: names of `WITH` are written out wherever they stand.
//!
//! Names that use each other twice double it at each level, and whoever walks a plan of 2^40 tables never
//! comes back, unheard of cancelling and time limits. So they are counted before there is a plan.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::{CopyToSource, Statement};
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Query, SetExpr, Visit, Visitor};

/// Tables that a statement may read, each name of `WITH` written out: what people and tools write reads tens,
/// and each more costs planning.
pub(super) const MAX_REFERENCES: u64 = 1000;

/// Refuses a statement that reads too many.
pub(super) fn check(statement: &Statement) -> Result<(), String> {
    let tables = count(statement);
    if tables <= MAX_REFERENCES {
        return Ok(());
    }
    Err(format!(
        "the query reads {tables} tables when each name of WITH is written out where it stands, \
         {MAX_REFERENCES} are taken: use a name fewer times, or ask in several queries"
    ))
}

/// Tables that a statement reads, or the part of it that reads most; `u64::MAX` stands for any more.
fn count(statement: &Statement) -> u64 {
    let mut statement = statement;
    while let Statement::Explain(explain) = statement {
        statement = &explain.statement;
    }
    let mut references = References::default();
    // It never breaks.
    let _ = match statement {
        Statement::Statement(statement) => statement.visit(&mut references),
        Statement::CopyTo(copy) => match &copy.source {
            CopyToSource::Query(query) => query.visit(&mut references),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        Statement::Explain(_) | Statement::CreateExternalTable(_) | Statement::Reset(_) => {
            ControlFlow::Continue(())
        }
    };
    references.most
}

#[derive(Default)]
struct References {
    /// The query that is being visited, behind those around it.
    open: Vec<Open>,
    most: u64,
}

#[derive(Default)]
struct Open {
    /// Its own `WITH`: which query is which name.
    named: Vec<(*const Query, String)>,
    /// What those that were visited read.
    known: HashMap<String, u64>,
    reads: u64,
}

impl Visitor for References {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let names = query.with.iter().flat_map(|with| &with.cte_tables);
        let named = names.map(|cte| (&raw const *cte.query, normal(&cte.alias.name))).collect();
        let reads = without_tables(&query.body);
        self.open.push(Open { named, reads, ..Open::default() });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let Some(done) = self.open.pop() else { return ControlFlow::Continue(()) };
        self.most = self.most.max(done.reads);
        if let Some(around) = self.open.last_mut() {
            match around.named.iter().find(|(named, _)| std::ptr::eq(*named, query)) {
                Some((_, name)) => {
                    // A name without a table is still a part of the plan each time.
                    around.known.insert(name.clone(), done.reads.max(1));
                }
                None => around.reads = around.reads.saturating_add(done.reads),
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        // The planner takes a name of several parts for one of `WITH`, too, where that is written so.
        let parts = relation.0.iter().map(|part| part.as_ident().map(normal).unwrap_or_default());
        let name = parts.collect::<Vec<_>>().join(".");
        let known = self.open.iter().rev().find_map(|open| open.known.get(&name));
        let reads = known.copied().unwrap_or(1);
        if let Some(open) = self.open.last_mut() {
            open.reads = open.reads.saturating_add(reads);
        }
        ControlFlow::Continue(())
    }
}

/// Parts of a query's body that make rows of nothing: they are written out as often as tables are.
fn without_tables(body: &SetExpr) -> u64 {
    let (mut left, mut found) = (vec![body], 0);
    while let Some(body) = left.pop() {
        match body {
            SetExpr::Select(select) => found += u64::from(select.from.is_empty()),
            SetExpr::Values(_) => found += 1,
            SetExpr::SetOperation { left: one, right: other, .. } => {
                left.extend([&**one, &**other])
            }
            // A query of its own is visited as one; the rest is no query.
            _ => {}
        }
    }
    found
}

/// A name as the planner compares it.
fn normal(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParser;

    use super::*;

    fn counted(sql: &str) -> u64 {
        let statements = DFParser::parse_sql(sql).expect(sql);
        count(statements.front().expect(sql))
    }

    /// Names that use the one before them twice.
    fn doubled(levels: usize) -> String {
        let names = (1..=levels).map(|level| {
            let before = level - 1;
            format!("n{level} AS (SELECT * FROM n{before} a, N{before} b)")
        });
        let names = [String::from("n0 AS (SELECT 1)")].into_iter().chain(names);
        format!("WITH {} SELECT * FROM n{levels}", names.collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn names_are_counted_as_often_as_they_are_written_out() {
        for (sql, expected) in [
            ("SELECT 1".to_owned(), 1),
            ("SELECT 1 UNION ALL SELECT 2 UNION ALL VALUES (3), (4)".into(), 3),
            ("WITH a AS (SELECT 1 UNION ALL SELECT 2) SELECT * FROM a, a b".into(), 4),
            ("SELECT * FROM a JOIN b ON a.x = b.x, c".into(), 3),
            (
                "SELECT * FROM a WHERE x IN (SELECT x FROM b) AND y > (SELECT max(y) FROM a)"
                    .into(),
                3,
            ),
            ("SELECT * FROM (SELECT * FROM a UNION ALL SELECT * FROM a)".into(), 2),
            ("WITH a AS (SELECT * FROM t, u) SELECT * FROM a, a b".into(), 4),
            ("WITH a AS (SELECT * FROM t, u) SELECT * FROM A, \"A\"".into(), 3),
            ("WITH a AS (SELECT * FROM t, u) SELECT * FROM other.a".into(), 2),
            // Names as the planner reads them.
            ("WITH \"s.a\" AS (SELECT * FROM t, u) SELECT * FROM s.A, S.a b".into(), 4),
            ("WITH \"É\" AS (SELECT * FROM t, u) SELECT * FROM É, É b".into(), 4),
            // A name within a name, used outside and in a subquery.
            (
                "WITH a AS (WITH b AS (SELECT * FROM t, u) SELECT * FROM b, b c) \
                 SELECT * FROM a WHERE x IN (SELECT x FROM a)"
                    .into(),
                8,
            ),
            // A name is its own table while it is made.
            ("WITH RECURSIVE a AS (SELECT 1 UNION ALL SELECT * FROM a) SELECT * FROM a".into(), 2),
            // A name that nobody uses is planned.
            ("WITH a AS (SELECT * FROM t, u, v) SELECT 1".into(), 3),
            (doubled(0), 1),
            (doubled(9), 512),
            (doubled(40), 1 << 40),
            (doubled(100), u64::MAX),
            (format!("EXPLAIN ANALYZE {}", doubled(40)), 1 << 40),
            (format!("COPY ({}) TO 'x'", doubled(40)), 1 << 40),
            (format!("CREATE VIEW v AS {}", doubled(40)), 1 << 40),
        ] {
            assert_eq!(counted(&sql), expected, "{}", &sql[..sql.len().min(120)]);
        }
    }

    #[test]
    fn what_reads_too_many_is_refused_with_number_limit_and_fix() {
        let parsed = |sql: &str| DFParser::parse_sql(sql).expect(sql).pop_front().expect(sql);
        assert!(check(&parsed(&doubled(9))).is_ok());
        let said = check(&parsed(&doubled(10))).unwrap_err();
        for word in ["1024 tables", "1000 are taken", "fewer times"] {
            assert!(said.contains(word), "{said}");
        }
        let many = format!("SELECT * FROM {}", vec!["t"; 1001].join(", "));
        assert!(check(&parsed(&many)).is_err());
    }
}
