//! The name under which a browser keeps a file (RFC 6266), whatever is in it.

use std::fmt::Write as _;

const LONGEST: usize = 200;

/// `inline` only for what a browser shows and does not run.
pub(super) fn disposition(media_type: &str, name: &str) -> String {
    let shown = ["image/", "audio/", "video/"].iter().any(|kind| media_type.starts_with(kind));
    let how = if shown && media_type != "image/svg+xml" { "inline" } else { "attachment" };
    let name: String = name.chars().filter(|c| !c.is_control() && !is_reordering(*c)).take(LONGEST).collect();
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._- ()".contains(c) { c } else { '_' })
        .collect();
    let mut encoded = String::new();
    for byte in name.replace(['/', '\\'], "_").bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    format!("{how}; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

/// Characters that make `gpj.exe` read as `exe.jpg`.
fn is_reordering(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_told_twice_plainly_and_as_it_is() {
        assert_eq!(
            disposition("audio/mpeg", "Anruf für Zoë.mp3"),
            "inline; filename=\"Anruf f_r Zo_.mp3\"; filename*=UTF-8''Anruf%20f%C3%BCr%20Zo%C3%AB.mp3"
        );
        assert!(disposition("text/html", "x.html").starts_with("attachment; "));
        assert!(disposition("image/svg+xml", "x.svg").starts_with("attachment; "));
    }

    #[test]
    fn a_hostile_name_loses_its_sting() {
        let told = disposition("image/png", "..\\../a\"; filename=b\r\nX: y\u{202e}gpj.exe");
        assert!(!told.contains(['\r', '\n', '\\', '/']), "{told}");
        assert_eq!(told.matches('"').count(), 2, "{told}");
    }

    proptest! {
        #[test]
        fn every_name_is_a_header_value(name in "\\PC{0,300}|[\\x00-\\x7f]{0,50}", media_type in "[a-z]{1,9}/[a-z]{1,9}") {
            let told = disposition(&media_type, &name);
            prop_assert!(told.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
            prop_assert_eq!(told.matches('"').count(), 2);
            let plain = told.split('"').nth(1).unwrap();
            prop_assert!(!plain.contains(['/', '\\']));
        }
    }
}
