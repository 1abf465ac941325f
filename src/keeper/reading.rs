//! What a vendor answered, as far as it can be read. A parser that panics has read nothing, and the vendor may have rotated;
//! an answer that was cut behind what the next refresh takes has all that matters.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{
    account::{Class, Code, FreshTokens, Secret},
    vendor::{Answer, VendorError},
};

use super::keeping::Keeping;

/// Reads an answer that may bring tokens, `by` the vendor's parser for it.
pub(super) fn read(
    keeping: &Keeping,
    answer: &Answer,
    by: impl Fn(&Answer) -> Result<FreshTokens, VendorError>,
) -> Result<FreshTokens, VendorError> {
    let read = |answer: &Answer| {
        let unreadable = || Err(VendorError::new(Class::Protocol, Code::UnreadableAnswer));
        catch_unwind(AssertUnwindSafe(|| by(answer))).unwrap_or_else(|_| unreadable())
    };
    read(answer).or_else(|failure| {
        let as_far_as_it_goes = answer.completed().and_then(|it| read(&it).ok());
        let can_go_on =
            |it: &FreshTokens| it.refresh.is_some() && (it.access.is_some() || !keeping.policy.refresh_needs_access);
        as_far_as_it_goes.filter(can_go_on).ok_or(failure)
    })
}

pub(super) fn read_refresh(keeping: &Keeping, answer: &Answer) -> Result<FreshTokens, VendorError> {
    read(keeping, answer, |answer| keeping.vendor.read_refresh(answer))
}

/// What of an answer may be stored.
pub(super) fn storable(keeping: &Keeping, answer: &Answer) -> Option<Secret> {
    catch_unwind(AssertUnwindSafe(|| keeping.vendor.storable(answer))).unwrap_or_default()
}
