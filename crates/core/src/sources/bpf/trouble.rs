//! Why the kernel refuses: which capability is missing, which kernel would do, and what its verifier said.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Once;

use libbpf_rs::{PrintLevel, ProgramType, set_print};

use crate::error::{Error, Kind, reason};
use crate::rights::{self, Capability};

use super::AttachPoint;

pub(super) const SUBJECT: &str = "bpf program";
/// Lines of the verifier's reasons that are shown: the last ones say what is wrong.
const LINES_SHOWN: usize = 8;
/// What libbpf says is kept up to here; a verifier's log may have a hundred thousand lines.
const SAID_BYTES_MAX: usize = 1 << 20;

const BTF: &str = "/sys/kernel/btf/vmlinux";

impl AttachPoint {
    fn kernel_min(self) -> &'static str {
        match self {
            Self::Netfilter => "6.4",
            Self::Tcx => "6.6",
        }
    }
}

thread_local! {
    /// What libbpf said in this thread, in the last load.
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What was said before is forgotten; what is said from now on in this thread is kept.
pub(super) fn listen() {
    static LISTENING: Once = Once::new();
    // Of the whole process; each thread has its own place for what it hears.
    LISTENING.call_once(|| {
        set_print(Some((PrintLevel::Warn, hear)));
    });
    SAID.take();
}

#[allow(clippy::needless_pass_by_value, reason = "libbpf-rs wants it so")]
fn hear(_: PrintLevel, text: String) {
    SAID.with_borrow_mut(|said| {
        said.push_str(&text);
        if said.len() > SAID_BYTES_MAX {
            // The end says what is wrong.
            let start = (said.len() - SAID_BYTES_MAX / 2..said.len()).find(|&at| said.is_char_boundary(at));
            *said = said.split_off(start.unwrap_or_default());
        }
    });
}

/// What libbpf and the kernel's verifier said when this thread loaded a program the last time.
#[must_use]
pub fn log() -> String {
    SAID.with_borrow(Clone::clone)
}

/// Whether this kernel can do it at all, before anything is tried.
///
/// # Errors
/// It cannot; says what it lacks.
pub(super) fn check_kernel(attach: AttachPoint) -> Result<(), Error> {
    if !Path::new(BTF).exists() {
        let cause = format!("this kernel does not describe its types: {BTF} is not there");
        return Err(unsupported(cause, "run a kernel with CONFIG_DEBUG_INFO_BTF"));
    }
    if attach == AttachPoint::Tcx
        && let Err(error) = crate::sys::bpf_links::ask_for_tcx()
        && error.raw_os_error() == Some(libc::EINVAL)
    {
        return Err(too_old(attach));
    }
    Ok(())
}

fn unsupported(cause: impl Into<String>, hint: &str) -> Error {
    Error::new(Kind::NotSupported, SUBJECT, "load", cause).with_hint(hint)
}

fn too_old(attach: AttachPoint) -> Error {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (what, option) = match attach {
        AttachPoint::Netfilter => ("BPF programs at netfilter hooks", "CONFIG_NETFILTER_BPF_LINK"),
        AttachPoint::Tcx => ("tcx", "CONFIG_NET_XGRESS"),
    };
    let cause = format!("this kernel ({}) has no {what}", release.trim());
    unsupported(cause, &format!("run Linux {} or newer, with {option}", attach.kernel_min()))
}

/// An error of the kernel, with what may be done about it.
pub(super) fn explain(operation: &'static str, error: &io::Error, attach: AttachPoint, said: &str) -> Error {
    let number = error.raw_os_error();
    // Without CAP_PERFMON the verifier refuses (EACCES) what it would else take.
    if matches!(number, Some(libc::EPERM | libc::EACCES))
        && let Some(denied) = denied(operation, error)
    {
        return denied;
    }
    match number {
        Some(libc::ENOSYS) => return unsupported("this kernel has no bpf(2)", "run a kernel with CONFIG_BPF_SYSCALL"),
        Some(libc::EINVAL) if attach == AttachPoint::Netfilter && !knows_netfilter() => return too_old(attach),
        _ => {}
    }
    let cause = format!("{}{}", reason(error), shown(said));
    let made = Error::new(Kind::Source, SUBJECT, operation, cause);
    match number {
        Some(libc::ENOMEM) => made.with_hint("lower rows_max: the kernel has no memory for so many rows"),
        _ => made,
    }
}

fn knows_netfilter() -> bool {
    // Where it cannot be told, the kernel's own words have to do.
    ProgramType::Netfilter.is_supported().unwrap_or(true)
}

/// What forbids it; None if nothing is known that does.
fn denied(operation: &'static str, error: &io::Error) -> Option<Error> {
    let refused = |cause: String| Error::new(Kind::PermissionDenied, SUBJECT, operation, cause);
    if let Some(words) = missing_words() {
        return Some(refused(format!("{}; {words}", reason(error))).with_hint(needed_hint()));
    }
    if error.raw_os_error() != Some(libc::EPERM) {
        return None;
    }
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    if lockdown.contains("[confidentiality]") {
        let cause = "the kernel is locked down (confidentiality), and lets no program read its memory".to_owned();
        return Some(refused(cause).with_hint("boot with lockdown=integrity or none, or count with nflog"));
    }
    if rights::field(&rights::status(), "Seccomp").is_some_and(|mode| mode.trim() != "0") {
        let cause = format!("{}; a seccomp filter forbids bpf(2), it seems", reason(error));
        return Some(
            refused(cause)
                .with_hint("allow the system call bpf: SystemCallFilter= of a service, --security-opt of a container"),
        );
    }
    let cause = format!("{}, with all capabilities: those of a user namespace do not count here", reason(error));
    Some(refused(cause).with_hint("run it outside of the container, or let the container have these capabilities"))
}

/// What is needed; `CAP_SYS_ADMIN` does for the first two as well.
const NEEDED: [Capability; 3] = [rights::BPF, rights::PERFMON, rights::NET_ADMIN];

/// Which of them the thread lacks; None: it has all.
fn missing_words() -> Option<String> {
    let missing = rights::missing(&rights::status(), &NEEDED);
    (!missing.is_empty()).then(|| format!("missing: {}", missing.join(", ")))
}

/// What to do for who lacks one.
fn needed_hint() -> String {
    rights::hint(&NEEDED)
}

/// The end of what was said, behind a line break; nothing if nothing was said.
fn shown(said: &str) -> String {
    let verifier = said.split_once("-- BEGIN PROG LOAD LOG --").map(|(_, behind)| behind);
    let verifier = verifier.map(|log| log.split_once("-- END PROG LOAD LOG --").map_or(log, |(log, _)| log));
    let who = if verifier.is_some() { "the verifier" } else { "libbpf" };
    let lines: Vec<_> = verifier
        .unwrap_or(said)
        .lines()
        .map(|line| line.strip_prefix("libbpf: ").unwrap_or(line).trim_end())
        .filter(|line| !line.is_empty() && !line.starts_with("processed ") && !line.starts_with("verification time"))
        .collect();
    if lines.is_empty() {
        return String::new();
    }
    let omitted = lines.len().saturating_sub(LINES_SHOWN);
    let last = lines.get(omitted..).unwrap_or_default().join("\n  ");
    let before = if omitted == 0 { String::new() } else { format!(", {omitted} lines before them omitted") };
    format!("; the last words of {who}{before}:\n  {last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_the_verifier_are_shown() {
        let log = (0..20).map(|at| format!("{at}: (85) call\n")).collect::<Vec<_>>().concat();
        let said = format!(
            "libbpf: prog 'x': BPF program load failed: -EACCES\nlibbpf: prog 'x': -- BEGIN PROG LOAD LOG --\n{log}\
             R1 invalid mem access 'scalar'\nprocessed 9 insns\n-- END PROG LOAD LOG --\nlibbpf: failed to load object\n"
        );
        let text = shown(&said);
        assert!(text.starts_with("; the last words of the verifier, 13 lines before them omitted:\n  13: (85) call\n"));
        assert!(text.ends_with("\n  19: (85) call\n  R1 invalid mem access 'scalar'"), "{text}");
    }

    #[test]
    fn without_a_verifier_libbpf_is_shown() {
        assert_eq!(shown(""), "");
        let text = shown("libbpf: extern (func ksym) 'x': not found in kernel or module BTFs\n");
        assert_eq!(text, "; the last words of libbpf:\n  extern (func ksym) 'x': not found in kernel or module BTFs");
    }

    #[test]
    fn a_failure_that_nobody_forbids_keeps_the_kernels_words() {
        let error = explain("load", &io::Error::from_raw_os_error(libc::ENOMEM), AttachPoint::Tcx, "");
        assert_eq!((error.kind, error.cause.as_str()), (Kind::Source, "cannot allocate memory"));
        assert!(error.hint.is_some_and(|hint| hint.contains("rows_max")));
        let error = explain("load", &io::Error::from_raw_os_error(libc::ENOSYS), AttachPoint::Tcx, "");
        assert_eq!(error.kind, Kind::NotSupported);
    }

    #[test]
    fn a_kernel_that_is_too_old_is_told_which_would_do() {
        let hint = |attach| too_old(attach).hint.unwrap();
        assert!(hint(AttachPoint::Netfilter).contains("6.4") && hint(AttachPoint::Tcx).contains("6.6"));
    }
}
