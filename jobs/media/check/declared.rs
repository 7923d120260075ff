//! Whether a file is what it was said to be. Types have many spellings, and some say nothing.

/// Whether `said` and the sniffed `mime` are two different things.
pub(super) fn differs(said: &str, mime: &str) -> bool {
    let said = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if matches!(said.as_str(), "" | "application/octet-stream" | "binary/octet-stream" | "*/*") {
        return false;
    }
    let (said, mime) = (canonical(&said), canonical(mime));
    if said == mime {
        return false;
    }
    let (Some((said_kind, said_form)), Some((kind, form))) = (said.split_once('/'), mime.split_once('/'))
    else {
        return true;
    };
    // One container serves sound and film, and `image/*` is all some hosts care to say.
    let one_container =
        matches!((said_kind, kind), ("audio", "video") | ("video", "audio")) && said_form == form;
    !(one_container || (said_form == "*" && said_kind == kind))
}

/// The one name of a type that goes by several.
fn canonical(mime: &str) -> &str {
    match mime {
        "image/jpg" | "image/pjpeg" => "image/jpeg",
        "image/heif" | "image/heic-sequence" | "image/heif-sequence" => "image/heic",
        "image/x-png" => "image/png",
        "audio/mp3" | "audio/x-mp3" | "audio/mpeg3" | "audio/x-mpeg" => "audio/mpeg",
        "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => "audio/wav",
        "audio/m4a" | "audio/x-m4a" | "audio/aac" | "audio/mp4a-latm" => "audio/mp4",
        "audio/opus" | "application/ogg" => "audio/ogg",
        "audio/3gpp" => "video/3gpp",
        "video/x-m4v" => "video/mp4",
        "text/x-vcard" | "text/directory" | "application/vcard" => "text/vcard",
        "application/x-pdf" => "application/pdf",
        "text/csv" | "application/json" => "text/plain",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::differs;

    #[test]
    fn other_spellings_and_those_that_say_nothing_are_no_lie() {
        for (said, mime) in [
            ("image/jpg", "image/jpeg"),
            ("IMAGE/JPEG; name=\"a.jpg\"", "image/jpeg"),
            ("audio/mp3", "audio/mpeg"),
            ("audio/3gpp", "video/3gpp"),
            ("audio/mp4", "video/mp4"),
            ("image/*", "image/png"),
            ("application/octet-stream", "application/pdf"),
            ("", "image/png"),
            ("text/x-vcard; charset=utf-8", "text/vcard"),
        ] {
            assert!(!differs(said, mime), "{said} {mime}");
        }
    }

    #[test]
    fn another_type_is() {
        for (said, mime) in [
            ("image/png", "image/jpeg"),
            ("text/html", "image/png"),
            ("image/*", "application/pdf"),
            ("nonsense", "image/png"),
            ("audio/mpeg", "video/mp4"),
        ] {
            assert!(differs(said, mime), "{said} {mime}");
        }
    }
}
