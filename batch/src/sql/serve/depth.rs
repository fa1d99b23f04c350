//! How deep a query may be: expressions are trees, and each level of one takes stack where it is
//! parsed, rewritten and dropped. A stack that overflows ends the process, so depth is bounded before.

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use datafusion_postgres::pgwire::error::PgWireResult;

use super::errors::{TOO_LONG, error};

/// Longest text of a query.
const MAX_QUERY_BYTES: usize = 128 << 10;

/// Operators in a query, each of which may be a level. With 60,000 a stack of 256 MiB overflowed.
const MAX_OPERATORS: usize = 4000;

/// Words that nest, beside the operators that are signs; parentheses are counted by the parser.
const NESTING: [Keyword; 14] = [
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
];

/// Refuses what is too long or too deep.
pub(super) fn check(query: &str) -> PgWireResult<()> {
    if query.len() > MAX_QUERY_BYTES {
        let message = format!(
            "the query has {} bytes, {MAX_QUERY_BYTES} are taken: give long lists as parameters",
            query.len()
        );
        return Err(error(TOO_LONG, message));
    }
    // What is no SQL is told by the parser.
    let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, query).tokenize() else { return Ok(()) };
    let operators = tokens.iter().filter(|token| nests(token)).count();
    if operators > MAX_OPERATORS {
        let message = format!(
            "the query has {operators} operators, {MAX_OPERATORS} are taken: write a chain of OR as IN (...)"
        );
        return Err(error(TOO_LONG, message));
    }
    Ok(())
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
    use super::*;

    #[test]
    fn lists_may_be_long_and_chains_may_not() {
        let list = format!("SELECT 1 WHERE 1 IN ({})", vec!["1"; 20_000].join(", "));
        assert!(check(&list).is_ok());
        for (chain, fine) in [
            (vec!["1"; 4000].join("+"), true),
            (vec!["1"; 4002].join("+"), false),
            (vec!["true"; 4002].join(" OR "), false),
            (format!("{}true", "NOT ".repeat(4001)), false),
            (vec!["1"; 4002].join(" UNION SELECT "), false),
            (format!("'{}'", "+".repeat(5000)), true),
            ("x".repeat(200_000), false),
        ] {
            assert_eq!(check(&format!("SELECT {chain}")).is_ok(), fine, "{}", &chain[..9]);
        }
    }
}
