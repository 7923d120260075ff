//! What segments cost.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Parts of a unit of money that prices are told in.
const MICROS: u64 = 1_000_000;
const DIGITS: usize = 6;
/// The largest price of a segment, in whole units.
const MOST: u64 = 1_000;

/// The price of a segment. Written `0.01 USD`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Price {
    micros: u64,
    currency: String,
}

#[derive(Debug, Eq, Error, PartialEq)]
#[error(
    "{0:?} is no price: write an amount with up to {DIGITS} decimals, below {MOST}, and a currency, such as \"0.01 USD\""
)]
pub struct PriceError(String);

impl Price {
    /// What so many segments cost, to the cent or, where it is less than one, as exactly as the price is told.
    pub fn of(&self, segments: u64) -> String {
        let micros = u128::from(self.micros) * u128::from(segments);
        let cents = (micros + 5_000) / 10_000;
        let amount = if cents > 0 { format!("{}.{:02}", cents / 100, cents % 100) } else { amount(micros) };
        format!("{amount} {}", self.currency)
    }
}

fn amount(micros: u128) -> String {
    let unit = u128::from(MICROS);
    let text = format!("{}.{:06}", micros / unit, micros % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", amount(u128::from(self.micros)), self.currency)
    }
}

impl FromStr for Price {
    type Err = PriceError;

    fn from_str(text: &str) -> Result<Self, PriceError> {
        let parsed = || {
            let (amount, currency) = text.split_once(' ')?;
            let (whole, part) = amount.split_once('.').unwrap_or((amount, "0"));
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let is_currency = currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase());
            if !digits(whole) || !digits(part) || part.len() > DIGITS || !is_currency {
                return None;
            }
            let whole: u64 = whole.parse().ok().filter(|whole| *whole < MOST)?;
            let part: u64 = format!("{part:0<DIGITS$}").parse().ok()?;
            Some(Self { micros: whole * MICROS + part, currency: currency.to_owned() })
        };
        parsed().ok_or_else(|| PriceError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_an_amount_and_a_currency_and_costs_are_told_to_the_cent() {
        let price: Price = "0.0079 USD".parse().unwrap();
        assert_eq!(price.to_string(), "0.0079 USD");
        assert_eq!(price.of(104_220), "823.34 USD");
        assert_eq!(price.of(0), "0 USD");
        assert_eq!("0.001 EUR".parse::<Price>().unwrap().of(1), "0.001 EUR");
        for wrong in ["", "0.01", "USD 0.01", "-1 USD", "0.0000001 USD", "1000 USD", "1 usd", ". USD"] {
            assert_eq!(wrong.parse::<Price>(), Err(PriceError(wrong.to_owned())));
        }
    }
}
