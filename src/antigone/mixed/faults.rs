//! Wrong rules, for the test kit.

/// Rules of a receiver that are known to be wrong. None by default; only the test kit can turn one on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// AN-K is taken if the g inside is the g in front of the same message, instead of that of AN-J2 (D17, A7).
    pub(super) leading_group: bool,
    /// I0, I2 and g are taken as they come (D13, D14, X2).
    pub(super) any_numbers: bool,
}

impl Faults {
    /// None.
    pub const NONE: Self = Self { leading_group: false, any_numbers: false };

    /// AN-K is compared with the g that stands in front of it: the wrong reading of report §2.2.3 (D17, A7).
    #[cfg(any(test, feature = "sim"))]
    pub const fn taking_the_leading_group() -> Self {
        Self { leading_group: true, ..Self::NONE }
    }

    /// Numbers of any length are taken, and a g of any application and with a number of any length (D13, D14, X2).
    #[cfg(any(test, feature = "sim"))]
    pub const fn taking_any_numbers() -> Self {
        Self { any_numbers: true, ..Self::NONE }
    }

    /// Whether numbers of any length are taken: what the third party of such a group does too.
    #[cfg(feature = "sim")]
    pub(crate) const fn takes_any_numbers(self) -> bool {
        self.any_numbers
    }
}
