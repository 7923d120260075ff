//! Paths: a text as one step of one, and those that are no text. The router drops what it cannot decode and then answers in words of its own, so such bytes
//! become replacement characters before it looks: the path leads nowhere, and that is told like everything else.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use poem::Request;
use poem::http::Uri;
use poem::http::uri::PathAndQuery;

/// The request with a path that can be read.
pub fn legible(mut request: Request) -> Request {
    if let Some(uri) = read(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

fn read(uri: &Uri) -> Option<Uri> {
    let is_text = |part: &str| percent_decode_str(part).decode_utf8().is_ok();
    if is_text(uri.path()) {
        return None;
    }
    let part = |part: &str| match is_text(part) {
        true => part.to_owned(),
        false => {
            utf8_percent_encode(&percent_decode_str(part).decode_utf8_lossy(), NON_ALPHANUMERIC).to_string()
        }
    };
    let path = uri.path().split('/').map(part).collect::<Vec<_>>().join("/");
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path + &query).ok()?);
    Uri::from_parts(parts).ok()
}

/// A text as one step of a path.
pub fn segment(text: &str) -> String {
    // As in a query, but for blanks: there they are plus signs.
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_no_text_is_replaced() {
        for (path, legible) in [
            ("/api/v1/tasks/%ff?limit=%ff", "/api/v1/tasks/%EF%BF%BD?limit=%ff"),
            ("/%c3%28/%2fx", "/%EF%BF%BD%28/%2fx"),
        ] {
            assert_eq!(read(&path.parse().unwrap()).unwrap().to_string(), legible);
        }
        for text in ["/api/v1/tasks/17?cursor=%ff", "/calls/%C3%A9", "/a%2fb"] {
            assert!(read(&text.parse().unwrap()).is_none(), "{text}");
        }
    }

    #[test]
    fn a_step_of_a_path_leads_nowhere_else() {
        assert_eq!(segment("a b+c/../?d#e%"), "a%20b%2Bc%2F..%2F%3Fd%23e%25");
    }
}
