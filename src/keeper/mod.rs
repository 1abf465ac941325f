//! Who renews, and when.
