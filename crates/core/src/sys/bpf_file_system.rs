//! The file system in which BPF objects are pinned.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `BPF_FS_MAGIC`
const MAGIC: i64 = 0xcafe_4a11;

/// Whether a path lies in one.
///
/// # Errors
/// There is no such path.
pub fn is_bpf(path: &Path) -> io::Result<bool> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let mut found = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the path ends with a NUL; the kernel writes one `statfs`.
    if unsafe { libc::statfs(path.as_ptr(), found.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: plain numbers, zero where nothing was written.
    let found = unsafe { found.assume_init() };
    Ok(found.f_type == MAGIC)
}

/// Mounts one, as systemd does: for root, and nobody else.
///
/// # Errors
/// EPERM without `CAP_SYS_ADMIN`; ENODEV where the kernel has none.
pub fn mount(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let (name, flags) = (c"bpf", libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_RELATIME);
    // SAFETY: all texts end with a NUL and live across the call.
    let result =
        unsafe { libc::mount(name.as_ptr(), path.as_ptr(), name.as_ptr(), flags, c"mode=0700".as_ptr().cast()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
