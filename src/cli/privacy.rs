//! What the rest of the machine sees of this process, which has tokens in its memory and in its files: nothing.

use rustix::{
    fs::Mode,
    process::{Resource, Rlimit, setrlimit, umask},
};

/// Every file is for its owner alone, whoever makes it. A crash leaves no core file and, on Linux, other processes of the
/// same user neither read the memory, the environment and the open files by way of `/proc`, nor attach to the process.
///
/// A sandbox may refuse some of it: then Latchkey is as private as other programs are, and works.
pub(super) fn ensure() {
    umask(Mode::RWXG | Mode::RWXO);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}
