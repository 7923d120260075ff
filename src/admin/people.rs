//! What operations that are about people have in common: numbers as people write them, and filters.

use trunkline_jobs::contacts::number::{Country, Number};
use trunkline_jobs::contacts::segments::{self, Filter, FilterError, SegmentError};
use trunkline_platform::db::Db;

use super::granted::{Granted, Need};
use super::problem::Problem;
use crate::mask;

/// A filter in the words of segments. One that looks into names, addresses or numbers takes `pii`: by trying long enough it would
/// tell what is masked.
pub(super) fn filter<N: Need>(by: &Granted<N>, told: &str) -> Result<Filter, Problem> {
    let filter: Filter =
        told.parse().map_err(|error: FilterError| Problem::invalid(mask::phones_in(&error.to_string())))?;
    if filter.is_personal() {
        by.sees_people()?;
    }
    Ok(filter)
}

/// Those whom a segment or a filter takes; everybody, without either.
pub(super) async fn whom<N: Need>(
    by: &Granted<N>,
    db: &Db,
    segment: Option<&str>,
    told: Option<&str>,
) -> Result<Filter, Problem> {
    match (segment, told) {
        (None, None) => Ok(Filter::All(Vec::new())),
        (None, Some(told)) => filter(by, told),
        (Some(name), None) => Ok(segments::show(db, name).await?.filter()?),
        (Some(_), Some(_)) => Err(Problem::invalid("say either segment or filter")),
    }
}

/// A number as people write it, in one spelling.
pub(super) fn number(told: &str, country: Country) -> Result<String, Problem> {
    match Number::parse(told, country) {
        Ok(number) => Ok(number.to_string()),
        Err(error) => Err(Problem::invalid(format!("{}: {error}", mask::phone(told)))),
    }
}

/// Several, all of which must be numbers.
pub(super) fn numbers(told: &[String], country: Country) -> Result<Vec<String>, Problem> {
    told.iter().map(|one| number(one, country)).collect()
}

impl From<SegmentError> for Problem {
    fn from(error: SegmentError) -> Self {
        match error {
            SegmentError::Database(error) => error.into(),
            SegmentError::Unknown(_) => Self::not_found("segment of this name; see list_segments"),
            SegmentError::There(_) => Self::conflict(error.to_string()),
            SegmentError::Name(_) => Self::invalid(error.to_string()),
            SegmentError::Filter { name, source } => Self::conflict(format!(
                "the filter of segment {name} cannot be read: {source}; another release wrote it"
            )),
        }
    }
}
