//! Who is signed in.

/// Whose login of an account it is. The two live side by side (protocol/akuvox.md §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seat {
    /// Who was signed in from the start, with the app on a phone.
    Owner,
    /// A family member with a password of their own, who signs in later or never.
    Family,
}
