//! Numbers and filters of people, as people write them.

use trunkline_jobs::contacts::number::Number;
use trunkline_jobs::contacts::segments::Filter;

use super::visit::Visit;
use crate::access::Scope;
use crate::mask;

/// A filter in the words of segments. One that looks into names, addresses or numbers takes `pii`: by trying long enough it would
/// tell what is masked.
pub(super) fn filter(visit: &Visit<'_>, told: &str) -> Result<Filter, String> {
    let filter: Filter = told.parse().map_err(|error| mask::phones_in(&format!("{error}.")))?;
    if filter.is_personal() && !visit.caller.scopes.has(Scope::Pii) {
        let why =
            "This filter looks into names, addresses or numbers: for that your key needs the scope pii.";
        return Err(why.to_owned());
    }
    Ok(filter)
}

/// A number as people write it, in one spelling.
pub(super) fn number(visit: &Visit<'_>, told: &str) -> Result<String, String> {
    let number = Number::parse(told, visit.pages.country);
    number.map(|number| number.to_string()).map_err(|error| format!("{}: {error}.", mask::phone(told)))
}
