//! Errors without what differs from one task to the next: digits, ids, numbers of phones, addresses, quoted
//! values. Two dead letters of one kind whose errors read the same afterwards died of the same thing.
//!
/// The most that is kept of an error: the end of a long chain tells little more.
const MOST_CHARS: usize = 400;
/// A word of letters and digits mixed is an id from this length on.
const SHORTEST_ID: usize = 8;
/// The fewest digits that make a phone number after a plus sign.
const SHORTEST_PHONE: usize = 7;

/// How far a thing reaches at the beginning of a text, if it is there.
type Length = fn(&str) -> Option<usize>;

/// The error as its group is told.
pub fn normal_error(error: &str) -> String {
    let mut out = String::with_capacity(error.len().min(2 * MOST_CHARS));
    let mut rest = error;
    // Counted in bytes to stop early; the cut by characters follows.
    while !rest.is_empty() && out.len() < 8 * MOST_CHARS {
        rest = step(&mut out, rest);
    }
    let cut: String = out.chars().take(MOST_CHARS).collect();
    cut.trim_end().to_owned()
}

/// Takes one piece from the beginning of `rest`, puts down what is kept of it, and returns what is left.
fn step<'e>(out: &mut String, rest: &'e str) -> &'e str {
    let Some(first) = rest.chars().next() else { return "" };
    if first.is_whitespace() {
        if !out.is_empty() && !out.ends_with(' ') {
            out.push(' ');
        }
        return rest.trim_start();
    }
    let follows_word = out.ends_with(char::is_alphanumeric);
    let folds: [(Length, &str); 2] = [(phone, "<phone>"), (quoted, "<…>")];
    for (length_of, mark) in folds {
        if !follows_word && let Some(length) = length_of(rest) {
            let keeps = rest.starts_with('`') && out.ends_with("field ");
            out.push_str(if keeps { &rest[..length] } else { mark });
            return &rest[length..];
        }
    }
    if !is_word(first) {
        out.push(first);
        return &rest[first.len_utf8()..];
    }
    for (length_of, mark) in [(url as Length, "<url>"), (email, "<email>"), (uuid, "<id>")] {
        if let Some(length) = length_of(rest) {
            out.push_str(mark);
            return &rest[length..];
        }
    }
    if first.is_ascii_digit()
        && let Some(length) = number(rest)
    {
        out.push_str("<n>");
        return &rest[length..];
    }
    let word = &rest[..length_while(rest, is_word)];
    put_word(out, word);
    &rest[word.len()..]
}

fn put_word(out: &mut String, word: &str) {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let all_hex = word.bytes().all(|b| b.is_ascii_hexdigit());
    let turns =
        word.as_bytes().windows(2).filter(|two| two[0].is_ascii_digit() != two[1].is_ascii_digit()).count();
    if word.len() >= SHORTEST_ID && (all_hex || (digits > 0 && turns > 1)) {
        out.push_str("<id>");
        return;
    }
    let mut in_digits = false;
    for c in word.chars() {
        if !c.is_ascii_digit() {
            out.push(c);
        } else if !in_digits {
            out.push_str("<n>");
        }
        in_digits = c.is_ascii_digit();
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn length_while(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.char_indices().find(|(_, c)| !belongs(*c)).map_or(text.len(), |(at, _)| at)
}

/// An international number: a plus sign, and what people write between the digits.
fn phone(text: &str) -> Option<usize> {
    let after = text.strip_prefix('+')?;
    let reach = length_while(after, |c| c.is_ascii_digit() || " -.()".contains(c));
    let number = after[..reach].trim_end_matches(|c: char| !c.is_ascii_digit());
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    (digits >= SHORTEST_PHONE).then_some(1 + number.len())
}

/// Something between two like quotation marks. An apostrophe within a word ends nothing.
fn quoted(text: &str) -> Option<usize> {
    let mark = text.chars().next().filter(|c| "\"'`".contains(*c))?;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        let ends = c == mark && !escaped && !text[at + 1..].starts_with(|next| is_word(next) || next == '<');
        if ends {
            return Some(at + 1);
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

fn url(text: &str) -> Option<usize> {
    let scheme = length_while(text, |c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let after = text[scheme..].strip_prefix("://")?;
    let reach = length_while(after, |c| !c.is_whitespace() && !"\"'`<>()[]{},;".contains(c));
    let address = after[..reach].trim_end_matches([':', '.', '?', '!']);
    Some(scheme + "://".len() + address.len())
}

fn email(text: &str) -> Option<usize> {
    let name = length_while(text, |c| c.is_ascii_alphanumeric() || "._%+-".contains(c));
    let after = text[name..].strip_prefix('@')?;
    let reach = length_while(after, |c| c.is_ascii_alphanumeric() || ".-".contains(c));
    let host = after[..reach].trim_end_matches(['.', '-']);
    (!host.is_empty()).then_some(name + 1 + host.len())
}

fn uuid(text: &str) -> Option<usize> {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let mut at = 0;
    for (group, length) in GROUPS.into_iter().enumerate() {
        if group > 0 {
            at += text[at..].strip_prefix('-').map(|_| 1)?;
        }
        let hex = length_while(&text[at..], |c| c.is_ascii_hexdigit());
        if hex != length {
            return None;
        }
        at += length;
    }
    (!text[at..].starts_with(is_word)).then_some(at)
}

/// A number with what joins its digits: `1,000.5`, `127.0.0.1:8080`, `2026-03-02`.
fn number(text: &str) -> Option<usize> {
    let reach = length_while(text, |c| c.is_ascii_digit() || ".,:-".contains(c));
    let number = text[..reach].trim_end_matches(|c: char| !c.is_ascii_digit());
    let joined = number.bytes().any(|b| !b.is_ascii_digit());
    (joined || !text[number.len()..].starts_with(is_word)).then_some(number.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_differs_from_task_to_task_is_folded() {
        for (error, normal) in [
            ("cannot text +1 (212) 555-0101: refused", "cannot text <phone>: refused"),
            ("event 71 is no longer stored", "event <n> is no longer stored"),
            ("GET https://files.example/a/b?token=x1: status 404", "GET <url>: status <n>"),
            ("connecting to 127.0.0.1:8080: refused", "connecting to <n>: refused"),
            ("user 0b7f6a52-3f6e-4c9e-8d24-4f2b1a90c1de is gone", "user <id> is gone"),
            ("message AC3f9a1b2c77 not found", "message <id> not found"),
            ("commit deadbeef failed", "commit <id> failed"),
            ("a \"loud\" and a 'quiet' value", "a <…> and a <…> value"),
            ("it's Ana's turn", "it's Ana's turn"),
            ("unknown variant `sing`, expected `succeed`", "unknown variant <…>, expected <…>"),
            ("missing field `act` at line 1 column 17", "missing field `act` at line <n> column <n>"),
            ("did not end within 1.5s", "did not end within <n>s"),
            ("its worker died 3 times", "its worker died <n> times"),
            ("task12 and task1234567890", "task<n> and task<n>"),
            ("mail to ana.b+c@example.com bounced", "mail to <email> bounced"),
            ("at 2026-03-02T09:00:00Z", "at <n>T<n>:<n>Z"),
            ("  two\n\tlines  ", "two lines"),
        ] {
            assert_eq!(normal_error(error), normal);
        }
    }

    #[test]
    fn different_troubles_stay_different() {
        let errors = [
            "missing field `act`",
            "missing field `key`",
            "connection refused",
            "connection reset",
            "no such number",
        ];
        for (at, one) in errors.iter().enumerate() {
            for other in &errors[at + 1..] {
                assert_ne!(normal_error(one), normal_error(other));
            }
        }
    }

    proptest! {
        #[test]
        fn a_normal_error_is_its_own_normal_error(error in "(\\PC|[ \"'`+@:/.0-9a-f\\-\n]){0,120}") {
            let once = normal_error(&error);
            prop_assert_eq!(normal_error(&once), once.clone());
        }

        #[test]
        fn it_is_bounded_and_has_no_digits_outside_of_names_of_fields(error in "[^`]{0,900}") {
            let normal = normal_error(&error);
            prop_assert!(normal.chars().count() <= MOST_CHARS);
            prop_assert!(!normal.bytes().any(|b| b.is_ascii_digit()), "{}", normal);
        }

        #[test]
        fn ids_numbers_and_people_do_not_tell_errors_apart(
            a in any::<(u64, u128)>(), b in any::<(u64, u128)>(), name in "[a-z ]{1,12}", other in "[a-z ]{1,12}",
        ) {
            let uuid = |n: u128| {
                let hex = format!("{n:032x}");
                [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
            };
            let error = |(n, id): (u64, u128), name: &str| format!(
                "task {n} for {} at https://host{n}.example/{id:x} called \"{name}\" by +1{:010}: not found",
                uuid(id), n % 10_000_000_000,
            );
            prop_assert_eq!(normal_error(&error(a, &name)), normal_error(&error(b, &other)));
        }
    }
}
