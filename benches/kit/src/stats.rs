//! Medians and spreads: on a shared machine the mean says nothing.

use std::fmt;

/// The value in the middle; the mean of the two in the middle if their number is even.
///
/// # Panics
///
/// If there are no values: a question that nobody answered must not look like an answer.
pub fn median(values: &mut [f64]) -> f64 {
    assert!(!values.is_empty(), "there is no median of no values: the question was not measured");
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

/// Median, least and greatest of some values. `{}` prints `median (least–greatest)`.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
}

impl Spread {
    /// The spread of `values`.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn of(values: &[f64]) -> Spread {
        let mut values = values.to_vec();
        let median = median(&mut values);
        Spread { median, least: values[0], greatest: values[values.len() - 1] }
    }

    /// The spread of the ratios of pairs measured in the same round: noise that both sides of a pair saw
    /// cancels out.
    ///
    /// # Panics
    ///
    /// If the lengths differ, or if there are none.
    pub fn of_ratios(above: &[f64], below: &[f64]) -> Spread {
        assert_eq!(above.len(), below.len(), "each round measures both sides of a ratio");
        Spread::of(&above.iter().zip(below).map(|(a, b)| a / b).collect::<Vec<_>>())
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { median, least, greatest } = *self;
        write!(f, "{} ({}–{})", short(median), short(least), short(greatest))
    }
}

/// Three digits that matter, and thousands apart.
pub fn short(value: f64) -> String {
    if value < 10.0 {
        return format!("{value:.2}");
    }
    if value < 100.0 {
        return format!("{value:.1}");
    }
    short_whole(value)
}

/// A whole number, with thousands apart.
pub fn short_whole(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&mut [9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 9.0]), 3.0);
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let spread = Spread::of_ratios(&[1.0, 10.0, 3.0], &[2.0, 20.0, 3.0]);
        assert_eq!((spread.median, spread.least, spread.greatest), (0.5, 0.5, 1.0));
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!(short(1234567.4), "1,234,567");
        assert_eq!(short(999.6), "1,000");
        assert_eq!(short(12.34), "12.3");
        assert_eq!(short(1.234), "1.23");
    }
}
