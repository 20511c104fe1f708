//! Where BPF programs hang: bpf(2), by the functions of libbpf.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libbpf_rs::libbpf_sys as raw;

use super::bpf::{done, length_of};

const LOOPBACK: u32 = 1;

/// What the kernel says of a link, or of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    pub id: u32,
    pub program_id: u32,
    /// Of tcx: 0 when it is attached no more.
    pub interface_index: u32,
    /// Of netfilter.
    pub priority: i32,
}

/// # Errors
/// The kernel's.
pub fn link_info(link: &OwnedFd) -> io::Result<LinkInfo> {
    let mut info = raw::bpf_link_info::default();
    let mut bytes = length_of(&info);
    // SAFETY: the kernel writes at most `bytes` bytes into `info`, which is plain numbers.
    done(unsafe { raw::bpf_link_get_info_by_fd(link.as_raw_fd(), &raw mut info, &raw mut bytes) })?;
    let mut found = LinkInfo { id: info.id, program_id: info.prog_id, interface_index: 0, priority: 0 };
    // SAFETY: the union is plain numbers, zero where the kernel wrote nothing; the type says which of them are meant.
    unsafe {
        match info.type_ {
            raw::BPF_LINK_TYPE_TCX => found.interface_index = info.__bindgen_anon_1.tcx.ifindex,
            raw::BPF_LINK_TYPE_NETFILTER => found.priority = info.__bindgen_anon_1.netfilter.priority,
            _ => {}
        }
    }
    Ok(found)
}

/// Attaches to a netfilter hook in the network namespace of the thread.
///
/// # Errors
/// The kernel's: EBUSY where another BPF program has this priority.
pub fn attach_netfilter(program: &OwnedFd, family: u32, hook: u32, priority: i32) -> io::Result<OwnedFd> {
    let mut options =
        raw::bpf_link_create_opts { sz: size_of::<raw::bpf_link_create_opts>() as _, ..Default::default() };
    options.__bindgen_anon_1.netfilter.pf = family;
    options.__bindgen_anon_1.netfilter.hooknum = hook;
    options.__bindgen_anon_1.netfilter.priority = priority;
    attach(program, 0, raw::BPF_NETFILTER, &options)
}

/// Attaches to an interface, before all programs that are there.
///
/// # Errors
/// The kernel's: ENODEV where there is no such interface.
pub fn attach_tcx(program: &OwnedFd, interface_index: u32, is_ingress: bool) -> io::Result<OwnedFd> {
    let options = raw::bpf_link_create_opts {
        sz: size_of::<raw::bpf_link_create_opts>() as _,
        flags: raw::BPF_F_BEFORE,
        ..Default::default()
    };
    let index = c_int::try_from(interface_index).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
    attach(program, index, if is_ingress { raw::BPF_TCX_INGRESS } else { raw::BPF_TCX_EGRESS }, &options)
}

fn attach(
    program: &OwnedFd,
    target: c_int,
    kind: raw::bpf_attach_type,
    options: &raw::bpf_link_create_opts,
) -> io::Result<OwnedFd> {
    // SAFETY: the options say their own size and live across the call; those that point somewhere are null.
    let made = unsafe { raw::bpf_link_create(program.as_raw_fd(), target, kind, options) };
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(done(made)?) })
}

/// Detaches, whoever has the link open or pinned.
///
/// # Errors
/// The kernel's.
pub fn detach(link: &OwnedFd) -> io::Result<()> {
    // SAFETY: only numbers cross.
    done(unsafe { raw::bpf_link_detach(link.as_raw_fd()) }).map(drop)
}

/// As many as the kernel lets hang at one place (`BPF_MPROG_MAX`).
const PROGRAMS_MAX: usize = 64;

/// The numbers of the programs that hang at an interface, on one side.
///
/// # Errors
/// The kernel's: EINVAL where it knows no tcx.
pub fn programs_at_tcx(interface_index: u32, is_ingress: bool) -> io::Result<Vec<u32>> {
    let mut ids = vec![0_u32; PROGRAMS_MAX];
    let mut options = raw::bpf_prog_query_opts {
        sz: size_of::<raw::bpf_prog_query_opts>() as _,
        prog_ids: ids.as_mut_ptr(),
        ..Default::default()
    };
    options.__bindgen_anon_1.count = u32::try_from(PROGRAMS_MAX).unwrap_or_default();
    let index = c_int::try_from(interface_index).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
    let kind = if is_ingress { raw::BPF_TCX_INGRESS } else { raw::BPF_TCX_EGRESS };
    // SAFETY: the options say their own size and how many numbers there is room for; both live across the call.
    done(unsafe { raw::bpf_prog_query_opts(index, kind, &raw mut options) })?;
    // SAFETY: both members of the union are the same number.
    ids.truncate(unsafe { options.__bindgen_anon_1.count } as usize);
    Ok(ids)
}

/// Asks for what hangs at the loopback interface: EINVAL where the kernel knows no tcx.
///
/// # Errors
/// The kernel's.
pub fn ask_for_tcx() -> io::Result<()> {
    programs_at_tcx(LOOPBACK, true).map(drop)
}
