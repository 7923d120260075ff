//! What two people could overwrite for one another: its state goes with it as an `ETag`, and who changes it can say by `If-Match`
//! which state they have seen.

use poem_openapi::payload::{Json, Response};

use super::problem::Problem;

/// What an operation answers that tells a state.
pub(super) type Tagged<T> = Result<Response<Json<T>>, Problem>;

pub(super) fn tagged<T>(tag: &str, body: T) -> Response<Json<T>> {
    Response::new(Json(body)).header("ETag", format!("\"{tag}\""))
}

/// The state that an `If-Match` names; `None` where any will do. What is no single tag names a state that never was.
pub(super) fn seen(if_match: Option<&str>) -> Option<&str> {
    let told = if_match?.trim();
    (told != "*").then(|| told.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_named_by_its_tag_and_a_star_is_any() {
        assert_eq!(seen(None), None);
        assert_eq!(seen(Some("*")), None);
        assert_eq!(seen(Some("\"ab12\"")), Some("ab12"));
        assert_eq!(seen(Some("\"ab12\", \"cd34\"")), Some("ab12\", \"cd34"));
        assert_eq!(seen(Some("W/\"ab12\"")), Some("W/\"ab12\""));
    }
}
