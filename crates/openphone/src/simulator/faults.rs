//! What goes wrong, and how often.

use std::{str::FromStr, time::Duration};

use rand::{RngExt, rngs::StdRng};

/// What goes wrong, each as a rate from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Faults {
    /// A delivery gets lost for good, and nobody tries it again.
    pub drop: f64,
    /// A delivery that was acknowledged is sent once more.
    pub duplicate: f64,
    /// A delivery is held back so that later ones pass it.
    pub reorder: f64,
    /// A delivery is late, by up to `delay_max`.
    pub delay: f64,
    pub delay_max: Duration,
    /// The API answers 429.
    pub rate_limited: f64,
    /// The API answers 500, having done what was asked or not.
    pub server_error: f64,
    /// The API does what was asked, and the connection breaks before it answers.
    pub lost_response: f64,
    /// The API does what was asked, and answers only after `late_by`.
    pub late_response: f64,
    pub late_by: Duration,
    /// How long after it was accepted a text is in the lists, by the provider's clock.
    pub listed_after: Duration,
    /// Before a delivery comes one whose body was changed after signing.
    pub tamper: f64,
    /// Before a delivery comes one that was signed long ago.
    pub stale_timestamp: f64,
    /// Instead of what would happen by itself, somebody sends the EICAR test file.
    pub infected: f64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            drop: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            delay: 0.0,
            delay_max: Duration::from_secs(5),
            rate_limited: 0.0,
            server_error: 0.0,
            lost_response: 0.0,
            late_response: 0.0,
            late_by: Duration::from_secs(60),
            listed_after: Duration::ZERO,
            tamper: 0.0,
            stale_timestamp: 0.0,
            infected: 0.0,
        }
    }
}

/// Why a list of faults cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultsError {
    #[error("`{0}` is not of the form name=number")]
    Syntax(String),
    #[error("there is no fault named `{0}`")]
    Unknown(String),
    #[error("`{0}` is not a rate from 0 to 1, or not a number of seconds up to 3600")]
    OutOfRange(String),
}

impl Faults {
    /// Whether this time it happens.
    pub(super) fn strikes(rng: &mut StdRng, rate: f64) -> bool {
        rng.random_bool(rate.clamp(0.0, 1.0))
    }

    fn span(&mut self, name: &str) -> Option<&mut Duration> {
        match name {
            "delay_max" => Some(&mut self.delay_max),
            "late_by" => Some(&mut self.late_by),
            "listed_after" => Some(&mut self.listed_after),
            _ => None,
        }
    }

    fn rate(&mut self, name: &str) -> Option<&mut f64> {
        Some(match name {
            "drop" => &mut self.drop,
            "duplicate" => &mut self.duplicate,
            "reorder" => &mut self.reorder,
            "delay" => &mut self.delay,
            "rate_limited" => &mut self.rate_limited,
            "server_error" => &mut self.server_error,
            "lost_response" => &mut self.lost_response,
            "late_response" => &mut self.late_response,
            "tamper" => &mut self.tamper,
            "stale_timestamp" => &mut self.stale_timestamp,
            "infected" => &mut self.infected,
            _ => return None,
        })
    }
}

/// Reads `duplicate=0.1,reorder=0.2`; `delay_max`, `late_by` and `listed_after` are in seconds.
impl FromStr for Faults {
    type Err = FaultsError;

    fn from_str(text: &str) -> Result<Self, FaultsError> {
        let mut faults = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let syntax = || FaultsError::Syntax(part.to_owned());
            let (name, value) = part.split_once('=').ok_or_else(syntax)?;
            let (name, value) = (name.trim(), value.trim().parse::<f64>().map_err(|_| syntax())?);
            let limit = if faults.span(name).is_some() { 3600.0 } else { 1.0 };
            if !(0.0..=limit).contains(&value) {
                return Err(FaultsError::OutOfRange(name.to_owned()));
            }
            if let Some(span) = faults.span(name) {
                *span = Duration::from_secs_f64(value);
            } else {
                *faults.rate(name).ok_or_else(|| FaultsError::Unknown(name.to_owned()))? = value;
            }
        }
        Ok(faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_by_name() {
        let faults: Faults = "duplicate=0.1, reorder=1,delay=0.5,delay_max=2.5,late_by=7,".parse().unwrap();
        let expected = Faults {
            duplicate: 0.1,
            reorder: 1.0,
            delay: 0.5,
            delay_max: Duration::from_millis(2500),
            late_by: Duration::from_secs(7),
            ..Faults::default()
        };
        assert_eq!(faults, expected);
        assert_eq!("".parse(), Ok(Faults::default()));
    }

    #[test]
    fn mistakes_are_named() {
        let read = |text: &str| text.parse::<Faults>().unwrap_err();
        assert_eq!(read("duplicate"), FaultsError::Syntax("duplicate".to_owned()));
        assert_eq!(read("duplicate=often"), FaultsError::Syntax("duplicate=often".to_owned()));
        assert_eq!(read("fire=0.1"), FaultsError::Unknown("fire".to_owned()));
        assert_eq!(read("tamper=1.5"), FaultsError::OutOfRange("tamper".to_owned()));
        assert_eq!(read("delay=NaN"), FaultsError::OutOfRange("delay".to_owned()));
    }
}
