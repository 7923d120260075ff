//! How a text is cut into segments, which is what carriers count and what is paid for.
//!
//! The GSM alphabet holds 160 characters a segment, 153 where there are several (the rest joins them together); a few
//! characters take two places. One character outside of it, and the whole text is written in UTF-16: 70, or 67.
//! Neither a pair of places nor a surrogate pair is cut in two.

use serde::Serialize;

const GSM_BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
                         ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Each takes an escape before it.
const GSM_EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// The most characters the provider takes.
pub const MAX_CHARS: usize = 1_600;

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum Encoding {
    #[serde(rename = "GSM-7")]
    Gsm7,
    #[serde(rename = "UCS-2")]
    Ucs2,
}

/// What a text is on its way.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Segments {
    pub encoding: Encoding,
    pub count: u32,
    pub chars: usize,
    /// The first character that the GSM alphabet lacks, and its place, counted in characters from 1.
    pub forced_by: Option<(char, usize)>,
}

/// Cuts a text.
pub fn segments(text: &str) -> Segments {
    let forced_by = text.chars().zip(1..).find(|(c, _)| gsm_width(*c).is_none());
    let (encoding, single, joined) =
        if forced_by.is_some() { (Encoding::Ucs2, 70, 67) } else { (Encoding::Gsm7, 160, 153) };
    let widths = text.chars().map(|c| match encoding {
        Encoding::Gsm7 => gsm_width(c).unwrap_or(1),
        Encoding::Ucs2 => c.len_utf16(),
    });
    Segments { encoding, count: cut(widths, single, joined), chars: text.chars().count(), forced_by }
}

/// How many places a character takes in the GSM alphabet.
fn gsm_width(c: char) -> Option<usize> {
    if GSM_BASIC.contains(c) {
        Some(1)
    } else if GSM_EXTENSION.contains(c) {
        Some(2)
    } else {
        None
    }
}

fn cut(widths: impl Iterator<Item = usize> + Clone, single: usize, joined: usize) -> u32 {
    if widths.clone().sum::<usize>() <= single {
        return 1;
    }
    let (mut count, mut filled) = (1, 0);
    for width in widths {
        if filled + width > joined {
            count += 1;
            filled = 0;
        }
        filled += width;
    }
    count
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn count(text: &str) -> (Encoding, u32) {
        let segments = segments(text);
        (segments.encoding, segments.count)
    }

    #[test]
    fn the_alphabet_has_its_128_places_less_the_escape() {
        assert_eq!(GSM_BASIC.chars().count(), 127);
    }

    #[test]
    fn a_gsm_text_holds_160_and_then_153_a_segment() {
        use Encoding::Gsm7;
        for (chars, expected) in [(0, 1), (160, 1), (161, 2), (306, 2), (307, 3), (459, 3), (460, 4)] {
            assert_eq!(count(&"a".repeat(chars)), (Gsm7, expected), "{chars}");
        }
        assert_eq!(count(&"é".repeat(160)), (Gsm7, 1));
    }

    #[test]
    fn an_extended_character_takes_two_places_which_stay_together() {
        use Encoding::Gsm7;
        assert_eq!(count(&"€".repeat(80)), (Gsm7, 1));
        assert_eq!(count(&"€".repeat(81)), (Gsm7, 2));
        // 153 is odd: the last place of a segment stays empty.
        assert_eq!(count(&"€".repeat(152)), (Gsm7, 2));
        assert_eq!(count(&"€".repeat(153)), (Gsm7, 3));
        assert_eq!(count(&("a".repeat(152) + "[" + &"a".repeat(151))), (Gsm7, 2));
        assert_eq!(count(&("a".repeat(152) + "[" + &"a".repeat(152))), (Gsm7, 3));
    }

    #[test]
    fn one_other_character_makes_the_whole_text_ucs2_and_is_named() {
        use Encoding::Ucs2;
        assert_eq!(segments("It’s on").forced_by, Some(('’', 3)));
        for (text, expected) in [("’", 70), ("’", 134)] {
            assert_eq!(count(&(text.to_owned() + &"a".repeat(expected - 1))).0, Ucs2);
        }
        assert_eq!(count(&("’".to_owned() + &"a".repeat(69))), (Ucs2, 1));
        assert_eq!(count(&("’".to_owned() + &"a".repeat(70))), (Ucs2, 2));
        assert_eq!(count(&("’".to_owned() + &"a".repeat(134))), (Ucs2, 3));
    }

    #[test]
    fn a_surrogate_pair_is_not_cut() {
        assert_eq!(count(&"👍".repeat(35)), (Encoding::Ucs2, 1));
        // 67 is odd: 33 pairs a segment.
        assert_eq!(count(&"👍".repeat(66)), (Encoding::Ucs2, 2));
        assert_eq!(count(&"👍".repeat(67)), (Encoding::Ucs2, 3));
    }

    proptest! {
        #[test]
        fn more_text_is_never_fewer_segments(text in "[a-z€\\[👍’ ]{0,400}", more in "[a-z€👍]{1,20}") {
            let (before, after) = (segments(&text), segments(&(text + &more)));
            if before.encoding == after.encoding {
                prop_assert!(after.count >= before.count);
            } else {
                prop_assert_eq!(after.encoding, Encoding::Ucs2);
            }
        }

        #[test]
        fn segments_hold_what_they_are_said_to_hold(text in "\\PC{0,800}") {
            let told = segments(&text);
            let units = text.encode_utf16().count();
            if told.encoding == Encoding::Ucs2 && units > 70 {
                let count = told.count as usize;
                prop_assert!(count * 67 >= units && (count - 1) * 66 < units);
            }
            prop_assert_eq!(told.encoding == Encoding::Ucs2, told.forced_by.is_some());
        }
    }
}
