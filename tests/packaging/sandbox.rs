//! A program in a root of its own, as a container runs it: by another user, without a capability or a way to one, with
//! nothing in its root but what it is given, and the root read-only.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{tools::run, wait_for};

/// Where the certificates of the authorities lie, in a distroless image, too.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What a container is made of.
pub(crate) struct Sandbox {
    /// User and group.
    user: u32,
    binds: Vec<(&'static str, PathBuf, PathBuf)>,
    environment: Vec<(String, String)>,
    /// Where bubblewrap writes which process it started.
    info: PathBuf,
}

impl Sandbox {
    /// A container for `program`, with the libraries that it is linked with.
    pub(crate) fn of(program: &Path, user: u32, info: PathBuf) -> Self {
        let mut sandbox = Self { user, binds: Vec::new(), environment: Vec::new(), info };
        for library in libraries(program) {
            sandbox.binds.push(("--ro-bind", library.canonicalize().unwrap(), library));
        }
        if Path::new(AUTHORITIES).exists() {
            sandbox.read_only(Path::new(AUTHORITIES), AUTHORITIES);
        }
        sandbox.read_only(program, "/usr/local/bin/program");
        sandbox
    }

    pub(crate) fn read_only(&mut self, outside: &Path, inside: &str) {
        self.binds.push(("--ro-bind", outside.to_owned(), inside.into()));
    }

    /// A volume: it is this user's own.
    pub(crate) fn volume(&mut self, outside: &Path, inside: &str) {
        if is_root() {
            chown(outside, Some(self.user), Some(self.user)).unwrap();
        }
        self.binds.push(("--bind", outside.to_owned(), inside.into()));
    }

    pub(crate) fn environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The program with its arguments, as the first process in there.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let user = self.user.to_string();
        let mut command = Command::new("sh");
        command.args(["-c", "info=$1; shift; exec \"$@\" 3>\"$info\"", "sh"]).arg(&self.info);
        if is_root() {
            // A real user, to whom the files of others are closed.
            command.args(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "--no-new-privs"]);
            command.args(["--inh-caps=-all", "--bounding-set=-all"]);
        }
        command.args(["bwrap", "--info-fd", "3", "--unshare-all", "--share-net", "--as-pid-1", "--die-with-parent"]);
        command.args(["--uid", &user, "--gid", &user, "--cap-drop", "ALL", "--proc", "/proc", "--dev", "/dev"]);
        for (how, outside, inside) in &self.binds {
            command.arg(how).arg(outside).arg(inside);
        }
        command.args(["--remount-ro", "/", "--clearenv"]);
        for (name, value) in &self.environment {
            command.args(["--setenv", name, value]);
        }
        command.arg("/usr/local/bin/program").args(arguments).stdin(Stdio::null());
        command
    }

    /// The process that was started last, by its id out here.
    pub(crate) fn process(&self) -> u32 {
        let pid = wait_for("the id of the process", || {
            let info: serde_json::Value = serde_json::from_str(&fs::read_to_string(&self.info).ok()?).ok()?;
            info["child-pid"].as_u64()
        });
        pid.try_into().unwrap()
    }
}

/// Whether sandboxes can be had here.
pub(crate) fn can_be_had() -> Result<(), String> {
    run(Command::new("bwrap").args(["--unshare-all", "--ro-bind", "/", "/", "true"]))
}

/// Whose test this is: user and group.
pub(crate) fn me() -> (u32, u32) {
    let process = fs::metadata("/proc/self").unwrap();
    (process.uid(), process.gid())
}

pub(crate) fn is_root() -> bool {
    me().0 == 0
}

/// What the dynamic linker loads for `program`, the linker itself included.
fn libraries(program: &Path) -> BTreeSet<PathBuf> {
    let said = Command::new("ldd").arg(program).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    said.split_whitespace().filter(|it| it.starts_with('/')).map(PathBuf::from).collect()
}
