//! Who can sign in at the simulated Aqara cloud: the residents, and the virtual accounts that applications make for
//! themselves (protocol/aqara.md §5.1 and §5.4).

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::{envelope::Refused, knobs::AqaraKnobs};
use crate::demo::clouds::{grants::later, simulation::Desk};

/// How long an auth code lives.
const CODE_LIFE: Duration = Duration::from_secs(600);

/// All accounts, by number; residents come first. Each belongs to one application of its region.
pub(super) struct Accounts {
    n_residents: usize,
    n_regions: usize,
    virtuals: BTreeMap<usize, Virtual>,
    /// The newest code of each account.
    codes: BTreeMap<usize, AuthCode>,
}

/// Whose account it is, as calls tell it: `accountType` 0, 1 and 2.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AccountType {
    Resident,
    /// A whole project; here its accounts are those of residents.
    Project,
    Virtual,
}

/// An auth code on its way to an account's owner.
pub(super) struct AuthCode {
    pub(super) code: String,
    pub(super) sent_at: Timestamp,
    /// What the login will choose, if it chooses.
    pub(super) access_life: Option<Duration>,
    is_used: bool,
}

struct Virtual {
    name: String,
    app: usize,
}

impl Accounts {
    pub(super) fn new(n_residents: usize, n_regions: usize) -> Self {
        Self { n_residents, n_regions, virtuals: BTreeMap::new(), codes: BTreeMap::new() }
    }

    /// The name that an account signs in with.
    pub(super) fn name(&self, account: usize) -> String {
        self.virtuals.get(&account).map_or_else(|| resident_name(account), |it| it.name.clone())
    }

    /// The application of an account's region that it belongs to.
    pub(super) fn app_of(&self, knobs: &AqaraKnobs, account: usize) -> usize {
        let dealt_out = || account / self.n_regions % knobs.n_apps();
        self.virtuals.get(&account).map_or_else(dealt_out, |it| it.app)
    }

    /// Whether an account lives in the call's region and belongs to this application of it.
    pub(super) fn is_of(&self, desk: &Desk<'_, AqaraKnobs>, account: usize, app: usize) -> bool {
        desk.is_at_home(account) && self.app_of(desk.knobs, account) == app
    }

    /// The account with this name, if this application knows it.
    pub(super) fn find(
        &self,
        desk: &Desk<'_, AqaraKnobs>,
        app: usize,
        account_type: AccountType,
        name: &str,
    ) -> Result<usize, Refused> {
        let mut known: Box<dyn Iterator<Item = usize>> = match account_type {
            AccountType::Virtual => Box::new(self.virtuals.keys().copied()),
            AccountType::Resident | AccountType::Project => Box::new(0..self.n_residents),
        };
        let known = known.find(|it| self.name(*it) == name && self.is_of(desk, *it, app));
        known.ok_or_else(|| Refused::new(801, "account is not registered"))
    }

    /// Makes a virtual account of this application.
    pub(super) fn create(&mut self, desk: &Desk<'_, AqaraKnobs>, app: usize, name: &str) -> Result<usize, Refused> {
        if self.find(desk, app, AccountType::Virtual, name).is_ok() {
            return Err(Refused::new(2016, "accountId exists"));
        }
        // Its number says where it lives, as every account's does.
        let is_free = |it: &usize| desk.is_at_home(*it) && !self.virtuals.contains_key(it);
        let account = (self.n_residents..).find(is_free).unwrap_or(usize::MAX);
        self.virtuals.insert(account, Virtual { name: name.to_owned(), app });
        Ok(account)
    }

    pub(super) fn code(&self, account: usize) -> Option<&AuthCode> {
        self.codes.get(&account)
    }

    /// The code is the account's newest now.
    pub(super) fn send(&mut self, account: usize, code: AuthCode) {
        self.codes.insert(account, code);
    }

    /// The account of a code, which works once and for ten minutes; of the account that is named, or of any.
    pub(super) fn redeem(
        &mut self,
        desk: &Desk<'_, AqaraKnobs>,
        app: usize,
        named: Option<usize>,
        code: &str,
    ) -> Result<usize, Refused> {
        let is_meant = |account: usize, sent: &AuthCode| {
            named.is_none_or(|it| it == account) && sent.code == code && self.is_of(desk, account, app)
        };
        let account = self.codes.iter().find(|(account, sent)| is_meant(**account, sent)).map(|it| *it.0);
        let sent = account.and_then(|it| Some((it, self.codes.get_mut(&it)?)));
        let Some((account, sent)) = sent else {
            return Err(Refused::new(desk.knobs.wrong_auth_code_code, "auth code incorrect"));
        };
        if sent.is_used || later(sent.sent_at, CODE_LIFE) <= desk.now {
            let code = desk.knobs.ended_auth_code_code.unwrap_or(desk.knobs.wrong_auth_code_code);
            return Err(Refused::new(code, "auth code was used or has expired"));
        }
        sent.is_used = true;
        Ok(account)
    }
}

impl AuthCode {
    pub(super) fn new(code: String, sent_at: Timestamp, access_life: Option<Duration>) -> Self {
        Self { code, sent_at, access_life, is_used: false }
    }
}

impl AccountType {
    pub(super) fn parse(number: u8) -> Result<Self, Refused> {
        match number {
            0 => Ok(Self::Resident),
            1 => Ok(Self::Project),
            2 => Ok(Self::Virtual),
            _ => Err(Refused::new(302, "accountType is 0, 1 or 2")),
        }
    }
}

pub(super) fn open_id(account: usize) -> String {
    format!("{:032}", 500_000_000_000_000_usize + account)
}

fn resident_name(account: usize) -> String {
    format!("resident{account}@example.com")
}
