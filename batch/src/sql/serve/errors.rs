//! What a client is told when something goes wrong: PostgreSQL's codes for DataFusion's errors.

use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError};

use crate::sql::{MORE_MEMORY, depth};

pub(super) const ACTIVE_TRANSACTION_FAILED: &str = "25P02";
pub(super) const BAD_PROTOCOL: &str = "08P01";
pub(super) const CANCELLED: &str = "57014";
pub(super) const CURSOR_EXISTS: &str = "42P03";
pub(super) const GOING_DOWN: &str = "57P01";
pub(super) const IDLE: &str = "57P05";
pub(super) const INVALID_VALUE: &str = "22023";
pub(super) const NO_CURSOR: &str = "34000";
pub(super) const NO_SETTING: &str = "42704";
pub(super) const NO_TRANSACTION: &str = "25P01";
pub(super) const NOT_AUTHORISED: &str = "28000";
pub(super) const NOT_SUPPORTED: &str = "0A000";
pub(super) const OUT_OF_MEMORY: &str = "53200";
pub(super) const READ_ONLY: &str = "25006";
pub(super) const SYNTAX: &str = "42601";
pub(super) const TOO_COMPLEX: &str = "54001";
pub(super) const TOO_LONG: &str = "54000";
pub(super) const TOO_MANY: &str = "53300";
pub(super) const WRONG_PASSWORD: &str = "28P01";

/// The statement fails; the client may go on.
pub(super) fn error(code: &str, message: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".into(), code.into(), message.into())))
}

/// The connection ends.
pub(super) fn fatal(code: &str, message: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("FATAL".into(), code.into(), message.into())))
}

pub(super) fn from_query(found: DataFusionError) -> PgWireError {
    let (code, hint) = code_of(found.find_root());
    let mut told = ErrorInfo::new("ERROR".into(), code.into(), found.strip_backtrace());
    told.hint = hint.map(str::to_owned);
    PgWireError::UserError(Box::new(told))
}

pub(super) fn from_parser(found: &ParserError) -> PgWireError {
    match found {
        ParserError::RecursionLimitExceeded => error(TOO_COMPLEX, depth::nested()),
        ParserError::TokenizerError(_) | ParserError::ParserError(_) => {
            error(SYNTAX, found.to_string())
        }
    }
}

/// An error of a library below as what it stands for.
pub(super) fn told(found: PgWireError) -> PgWireError {
    let PgWireError::ApiError(inner) = found else { return found };
    let inner = match inner.downcast::<DataFusionError>() {
        Ok(error) => return from_query(*error),
        Err(other) => other,
    };
    match inner.downcast::<ParserError>() {
        Ok(error) => from_parser(&error),
        Err(other) => PgWireError::ApiError(other),
    }
}

fn code_of(found: &DataFusionError) -> (&'static str, Option<&'static str>) {
    let code = match found {
        DataFusionError::SQL(..) => SYNTAX,
        DataFusionError::SchemaError(error, _) => match error.as_ref() {
            SchemaError::FieldNotFound { .. } => "42703",
            SchemaError::AmbiguousReference { .. } => "42702",
            SchemaError::DuplicateQualifiedField { .. }
            | SchemaError::DuplicateUnqualifiedField { .. } => "42701",
        },
        DataFusionError::Plan(text) if text.contains("not found") => "42P01",
        DataFusionError::Plan(text) if text.contains("Invalid function") => "42883",
        DataFusionError::Plan(_) => "42000",
        DataFusionError::NotImplemented(_) => NOT_SUPPORTED,
        DataFusionError::ResourcesExhausted(_) => {
            return (OUT_OF_MEMORY, Some(MORE_MEMORY));
        }
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::DivideByZero => "22012",
            ArrowError::ArithmeticOverflow(_) => "22003",
            ArrowError::CastError(_) | ArrowError::ParseError(_) => "22P02",
            _ => "22000",
        },
        DataFusionError::Execution(_) => "22000",
        DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) => "58030",
        _ => "XX000",
    };
    (code, None)
}
