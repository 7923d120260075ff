//! Phone numbers in one spelling, E.164, so that one person is one row however the number was typed.

use std::fmt;

use phonenumber::Mode;
use phonenumber::country::Id;
use thiserror::Error;

use super::place;

/// The most characters anybody needs for a number.
const LONGEST: usize = 40;

/// A country by its two letters, for numbers written without a country code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Country(Id);

/// A number that can be texted, as `+12125550101`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Number(String);

/// Why a text is not the number of anybody.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum NumberError {
    #[error("there is no phone number")]
    Empty,
    #[error("{0:?} belongs in no phone number")]
    Character(char),
    #[error("this is too long for a phone number")]
    TooLong,
    #[error("this is no phone number of {0}; write others with + and their country code")]
    Unreadable(Country),
    #[error("no such number can exist: the numbering plan has no place for it")]
    Impossible,
}

/// Two letters that name no country.
#[derive(Debug, Error)]
#[error("{0:?} is no country: write its two letters, such as US")]
pub struct CountryError(String);

impl Default for Country {
    fn default() -> Self {
        Self(Id::US)
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_ref())
    }
}

impl std::str::FromStr for Country {
    type Err = CountryError;

    fn from_str(letters: &str) -> Result<Self, Self::Err> {
        letters
            .trim()
            .to_ascii_uppercase()
            .parse()
            .map(Self)
            .map_err(|_| CountryError(letters.chars().take(20).collect()))
    }
}

impl Number {
    /// Reads a number as people write it. One without a country code is of `country`.
    ///
    /// # Errors
    /// When it cannot be a number, or no such number can exist.
    pub fn parse(text: &str, country: Country) -> Result<Self, NumberError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(NumberError::Empty);
        }
        if text.len() > LONGEST {
            return Err(NumberError::TooLong);
        }
        // The library reads letters as keys and takes extensions; a spreadsheet's 1.2E+10 is neither.
        let odd = text
            .chars()
            .find(|&c| !c.is_ascii_digit() && !" +-.()/\u{a0}\u{2010}\u{2011}\u{2013}".contains(c));
        if let Some(odd) = odd {
            return Err(NumberError::Character(odd));
        }
        let plain: String = text.chars().map(|c| if c.is_ascii() { c } else { '-' }).collect();
        let parsed =
            phonenumber::parse(Some(country.0), &plain).map_err(|_| NumberError::Unreadable(country))?;
        let number = parsed.format().mode(Mode::E164).to_string();
        if parsed.is_valid() || place::is_geographic(&number) {
            Ok(Self(number))
        } else {
            Err(NumberError::Impossible)
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The country of a number in E.164, as far as the plan tells.
pub fn country_of(number: &str) -> Option<Country> {
    if let Some(country) = place::country_of(number) {
        return country.parse().ok();
    }
    phonenumber::parse(None, number.get(..LONGEST.min(number.len()))?).ok()?.country().id().map(Country)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<String, NumberError> {
        Number::parse(text, Country::default()).map(|number| number.to_string())
    }

    #[test]
    fn one_number_is_one_spelling_however_it_was_typed() {
        for typed in [
            "(212) 555-0101",
            "212.555.0101",
            "2125550101",
            "1-212-555-0101",
            " +1 212 555 0101 ",
            "212\u{2011}555\u{2011}0101",
            "+1 (212)\u{a0}555-0101",
        ] {
            assert_eq!(parse(typed).as_deref(), Ok("+12125550101"), "{typed}");
        }
        assert_eq!(parse("+49 30 901820").as_deref(), Ok("+4930901820"));
        let german = Number::parse("030 901820", "de".parse().unwrap()).unwrap();
        assert_eq!(german.as_str(), "+4930901820");
    }

    #[test]
    fn what_is_no_number_is_refused_with_the_reason() {
        assert_eq!(parse("  "), Err(NumberError::Empty));
        assert_eq!(parse("1.2125550101E+10"), Err(NumberError::Character('E')));
        assert_eq!(parse("212-555-0101 x12"), Err(NumberError::Character('x')));
        assert_eq!(parse(&"1".repeat(41)), Err(NumberError::TooLong));
        assert_eq!(parse("112-555-0101"), Err(NumberError::Impossible));
        assert_eq!(parse("212-155-0101"), Err(NumberError::Impossible));
        assert_eq!(parse("555-0101"), Err(NumberError::Impossible));
        assert!(matches!(parse("+"), Err(NumberError::Unreadable(_))));
        assert!("Atlantis".parse::<Country>().is_err());
    }

    #[test]
    fn an_area_code_younger_than_the_library_is_taken_when_the_list_has_it() {
        assert_eq!(parse("(679) 555-0101").as_deref(), Ok("+16795550101"));
    }

    #[test]
    fn a_number_tells_its_country() {
        let country = |number| country_of(number).map(|country| country.to_string());
        assert_eq!(country("+12125550101").as_deref(), Some("US"));
        assert_eq!(country("+14165550101").as_deref(), Some("CA"));
        assert_eq!(country("+525512345678").as_deref(), Some("MX"));
        assert_eq!(country("Anonymous"), None);
    }

    proptest! {
        #[test]
        fn nothing_typed_breaks_it_and_what_is_read_is_read_the_same_again(text in "[0-9+() .-]{0,44}|\\PC{0,44}") {
            if let Ok(number) = Number::parse(&text, Country::default()) {
                prop_assert_eq!(Number::parse(number.as_str(), Country::default()), Ok(number));
            }
            let _ = country_of(&text);
        }
    }
}
