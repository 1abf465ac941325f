//! Why a call to a vendor failed: a class to act on, a code to show, and nothing of what the vendor wrote.

use std::fmt;

use crate::account::{Class, Code};

/// A failed call. Vendors' messages and bodies are not in it: they may hold tokens (protocol/aqara.md §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorError {
    pub class: Class,
    pub code: Code,
    /// The vendor's own code, as it stood in the answer's envelope: letters, digits, `-`, `_` and `.` only.
    pub vendor_code: Option<String>,
    /// HTTP status, where there was an answer that was not 200.
    pub http_status: Option<u16>,
}

impl VendorError {
    pub fn new(class: Class, code: Code) -> Self {
        Self { class, code, vendor_code: None, http_status: None }
    }

    /// This vendor has no such thing.
    pub fn not_supported() -> Self {
        Self::new(Class::Target, Code::NotSupported)
    }

    pub fn with_vendor_code(mut self, vendor_code: &str) -> Self {
        let is_plain = |it: &char| it.is_ascii_alphanumeric() || "-_.".contains(*it);
        self.vendor_code = Some(vendor_code.chars().filter(is_plain).take(24).collect());
        self
    }

    pub fn with_status(mut self, http_status: u16) -> Self {
        self.http_status = Some(http_status);
        self
    }
}

impl std::error::Error for VendorError {}

impl fmt::Display for VendorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.class {
            Class::Transient => "the vendor could not be reached or was busy",
            Class::Ambiguous => "no usable answer came, so the outcome is unknown",
            Class::Throttled { .. } => "the vendor asks for fewer calls",
            Class::AccessRejected => "the vendor does not accept the access token",
            Class::GrantDead { expired: true } => "the refresh token has expired",
            Class::GrantDead { expired: false } => "the vendor does not accept the refresh token",
            Class::Refused => "the vendor refused, with a code whose meaning is not known",
            Class::ConfigFault => "the vendor does not accept the application's keys, region or signature",
            Class::ClockSkew { .. } => "the vendor's clock and this machine's differ too much",
            Class::Target => "the vendor does not know the target, or will not act on it",
            Class::Protocol => "the vendor said yes, in an answer that could not be read",
        };
        f.write_str(what)?;
        if let Class::ClockSkew { vendor_ahead_by: Some(by) } = self.class {
            let side = if by.is_negative() { "behind" } else { "ahead" };
            write!(f, ": the vendor's is {} s {side}", by.as_secs().unsigned_abs())?;
        }
        if let Some(vendor_code) = &self.vendor_code {
            write!(f, " (vendor code {vendor_code})")?;
        }
        if let Some(http_status) = self.http_status {
            write!(f, " (HTTP {http_status})")?;
        }
        Ok(())
    }
}
