//! A real Mosquitto of the test's own, on a free port of the loopback.

use std::{
    ffi::OsString,
    fmt::Write as _,
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;

/// Stops when dropped.
pub struct Mosquitto {
    pub port: u16,
    folder: TempDir,
    child: Child,
}

/// What differs from a broker for everybody.
#[derive(Clone, Debug, Default)]
pub struct MosquittoOptions {
    /// User and password. If there are any, nobody else gets in.
    pub users: Vec<(String, String)>,
    /// Lines of an access list (`user …`, `topic …`).
    pub access_list: Option<String>,
    /// More lines of mosquitto.conf.
    pub more: Vec<String>,
}

impl Mosquitto {
    /// A broker that lets everybody do everything.
    pub fn start() -> Self {
        Self::start_with(&MosquittoOptions::default())
    }

    pub fn start_with(options: &MosquittoOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Another process may take the port between our look and Mosquitto's.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            write_configuration(folder.path(), port, options);
            if let Some(child) = spawn(folder.path(), port) {
                return Self { port, folder, child };
            }
        }
        panic!("Mosquitto does not start; its log: {}", log_of(folder.path()));
    }

    /// Kills it, as a crash would; what it remembered is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on the same port after [`Mosquitto::kill`].
    pub fn start_again(&mut self) {
        self.child = spawn(self.folder.path(), self.port)
            .unwrap_or_else(|| panic!("Mosquitto does not start again; its log: {}", log_of(self.folder.path())));
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

fn write_configuration(folder: &Path, port: u16, options: &MosquittoOptions) {
    let mut text = format!(
        "listener {port} 127.0.0.1\npersistence false\nset_tcp_nodelay true\nmax_queued_messages 100000\n\
         user root\nallow_anonymous {}\n",
        options.users.is_empty()
    );
    if !options.users.is_empty() {
        let file = folder.join("passwords");
        fs::write(&file, "").unwrap();
        for (user, password) in &options.users {
            let status = Command::new("mosquitto_passwd").arg("-b").arg(&file).args([user, password]).status();
            assert!(status.is_ok_and(|it| it.success()), "mosquitto_passwd does not work; `./test` installs it");
        }
        writeln!(text, "password_file {}", file.display()).unwrap();
    }
    if let Some(access_list) = &options.access_list {
        let file = folder.join("access");
        fs::write(&file, access_list).unwrap();
        writeln!(text, "acl_file {}", file.display()).unwrap();
    }
    for line in &options.more {
        writeln!(text, "{line}").unwrap();
    }
    fs::write(folder.join("mosquitto.conf"), text).unwrap();
}

/// None where it ends before it listens.
fn spawn(folder: &Path, port: u16) -> Option<Child> {
    let program = program();
    let log = fs::File::create(folder.join("log")).unwrap();
    let mut child = Command::new(&program)
        .arg("-c")
        .arg(folder.join("mosquitto.conf"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("Mosquitto is missing ({error}): run `./test`, which installs it"));
    loop {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some(child);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn program() -> OsString {
    if let Some(given) = std::env::var_os("MOSQUITTO_BIN") {
        return given;
    }
    // Debian keeps it where a user's PATH does not lead.
    if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto".into() } else { "mosquitto".into() }
}

fn log_of(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}
