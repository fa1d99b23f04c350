//! How deep a query may be: expressions are trees, and each level of one takes stack where it is
//! parsed, rewritten and dropped. A stack that overflows ends the process, so depth is bounded before.

use datafusion::sql::sqlparser::dialect::Dialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// Longest text of a client's query.
const MAX_QUERY_BYTES: usize = 128 << 10;

/// Operators in a statement, each of which may be a level. With 60,000 a stack of 256 MiB overflowed.
const MAX_OPERATORS: usize = 4000;

/// Levels that the parser takes, which is its own default; it counts them itself.
const NESTED_LEVELS: usize = 50;

/// Words that nest, beside the operators that are signs; parentheses are counted by the parser.
const NESTING: [Keyword; 15] = [
    Keyword::AND,
    Keyword::OR,
    Keyword::NOT,
    Keyword::IS,
    Keyword::IN,
    Keyword::LIKE,
    Keyword::ILIKE,
    Keyword::SIMILAR,
    Keyword::BETWEEN,
    Keyword::COLLATE,
    Keyword::UNION,
    Keyword::INTERSECT,
    Keyword::EXCEPT,
    Keyword::JOIN,
    Keyword::EXPLAIN,
];

/// Refuses a text that is too long.
pub(super) fn length(query: &str) -> Result<(), String> {
    if query.len() <= MAX_QUERY_BYTES {
        return Ok(());
    }
    let bytes = query.len();
    Err(format!(
        "the query has {bytes} bytes, {MAX_QUERY_BYTES} are taken: give long lists as parameters"
    ))
}

/// Refuses a text one of whose statements may be too deep.
pub(super) fn operators(query: &str, dialect: &dyn Dialect) -> Result<(), String> {
    // What is no SQL is told by the parser.
    let Ok(tokens) = Tokenizer::new(dialect, query).tokenize() else { return Ok(()) };
    let statements = tokens.split(|token| matches!(token, Token::SemiColon));
    let most = statements.map(|tokens| tokens.iter().filter(|token| nests(token)).count()).max();
    match most {
        Some(operators) if operators > MAX_OPERATORS => Err(format!(
            "the query has {operators} operators, {MAX_OPERATORS} are taken: write a chain of OR as IN (...)"
        )),
        Some(_) | None => Ok(()),
    }
}

/// What is said where the parser met more than its levels.
pub(super) fn nested() -> String {
    format!(
        "the query nests deeper than the {NESTED_LEVELS} levels that are taken: write fewer \
         parentheses, subqueries and NOT in one another, or name the inner ones with WITH"
    )
}

fn nests(token: &Token) -> bool {
    match token {
        Token::Word(word) => NESTING.contains(&word.keyword),
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::DollarQuotedString(_)
        | Token::Placeholder(_)
        | Token::Whitespace(_)
        | Token::Comma
        | Token::Period
        | Token::SemiColon
        | Token::LParen
        | Token::RParen
        | Token::EOF => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::{GenericDialect, PostgreSqlDialect};

    use super::*;

    #[test]
    fn lists_may_be_long_and_chains_may_not() {
        let list = format!("1 WHERE 1 IN ({})", vec!["1"; 20_000].join(", "));
        for (chain, fine) in [
            (list, true),
            (vec!["1"; 4000].join("+"), true),
            (vec!["1"; 4002].join("+"), false),
            (vec!["true"; 4002].join(" OR "), false),
            (format!("{}true", "NOT ".repeat(4001)), false),
            (vec!["1"; 4002].join(" UNION SELECT "), false),
            (vec!["1"; 4002].join("; SELECT "), true),
            (format!("1; SELECT {}; SELECT 1", vec!["1"; 4002].join("+")), false),
            (format!("'{}'", "+".repeat(5000)), true),
        ] {
            let query = format!("SELECT {chain}");
            for dialect in [&PostgreSqlDialect {} as &dyn Dialect, &GenericDialect {}] {
                assert_eq!(operators(&query, dialect).is_ok(), fine, "{}", &query[..16]);
            }
        }
    }

    #[test]
    fn what_is_too_much_is_said_with_its_limit() {
        let said = operators(&vec!["1"; 4002].join("+"), &GenericDialect {}).unwrap_err();
        assert!(said.contains("4001") && said.contains("4000"), "{said}");
        let said = length(&"x".repeat(200_000)).unwrap_err();
        assert!(said.contains("200000") && said.contains("131072"), "{said}");
        assert!(length("SELECT 1").is_ok());
    }
}
