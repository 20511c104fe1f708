//! What the calling thread, and the threads and programs it starts from then on, may do (capabilities(7)).
//!
//! Three system calls; a crate for them would be more to watch than they are.

use std::io;

/// Highest number of a capability that a kernel can have: the sets have 64 bits.
const NUMBERS: u32 = 64;
/// The form of the sets that has 64 bits, in two halves.
const VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Gives up all capabilities but `kept` (a bit each), and the right to gain any by running a program.
///
/// What is in `kept` and not there is not gained. The ambient set gets what is left, so that a program that is run can use
/// it whoever the user is; the bounding set is cut where `CAP_SETPCAP` allows it. Returns the capabilities that are left,
/// and whether the bounding set holds no others. Of the other threads of this process it changes nothing.
///
/// # Errors
/// The kernel's. What was given up until then stays given up.
pub fn keep_only(kept: u64) -> io::Result<(u64, bool)> {
    control(libc::PR_SET_NO_NEW_PRIVS, 1, 0)?;
    let left = permitted()? & kept;
    // First, for it needs a capability that goes with the rest.
    let is_bounded = cut_bounding_set(kept)?;
    // Before what it is made of, for the kernel takes out of it what is given up elsewhere; and not all of it is ours to keep.
    control(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0)?;
    set(left)?;
    for number in numbers(left) {
        control(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, number)?;
    }
    Ok((left, is_bounded))
}

fn numbers(mask: u64) -> impl Iterator<Item = u32> {
    (0..NUMBERS).filter(move |number| mask >> number & 1 == 1)
}

fn cut_bounding_set(kept: u64) -> io::Result<bool> {
    let mut is_bounded = true;
    for number in numbers(!kept) {
        match control(libc::PR_CAPBSET_READ, number, 0) {
            Ok(0) => {}
            Ok(_) => match control(libc::PR_CAPBSET_DROP, number, 0) {
                Ok(_) => {}
                // Without CAP_SETPCAP. It bounds what is gained by running a program, which "no new privileges" ends too.
                Err(error) if error.raw_os_error() == Some(libc::EPERM) => is_bounded = false,
                Err(error) => return Err(error),
            },
            // Beyond the last one that this kernel knows.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(is_bounded)
}

fn control<A: Into<i64>>(option: i32, first: A, second: u32) -> io::Result<i32> {
    let (first, second, none) = (first.into(), libc::c_ulong::from(second), 0 as libc::c_ulong);
    // SAFETY: the options used here take integers only.
    let result = unsafe { libc::prctl(option, first, second, none, none) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn permitted() -> io::Result<u64> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut halves = [Half::default(); 2];
    // SAFETY: header and both halves live across the call, and have the form that the version names.
    if unsafe { libc::syscall(libc::SYS_capget, &raw mut header, halves.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let [low, high] = halves;
    Ok(u64::from(high.permitted) << 32 | u64::from(low.permitted))
}

fn set(mask: u64) -> io::Result<()> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    #[allow(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
    let halves =
        [mask as u32, (mask >> 32) as u32].map(|half| Half { effective: half, permitted: half, inheritable: half });
    // SAFETY: header and both halves live across the call, and have the form that the version names.
    if unsafe { libc::syscall(libc::SYS_capset, &raw mut header, halves.as_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_mask_are_its_bits() {
        assert_eq!(numbers(1 << 12 | 1 << 40 | 1).collect::<Vec<_>>(), [0, 12, 40]);
        assert_eq!(numbers(u64::MAX).count(), 64);
    }

    #[test]
    fn a_thread_without_any_has_none_left_and_cannot_get_them_back() {
        // In a thread of its own: what it gives up is given up for good.
        let (left, after) = std::thread::spawn(|| (keep_only(0).unwrap().0, permitted().unwrap())).join().unwrap();
        assert_eq!((left, after), (0, 0));
        let thread = std::thread::spawn(|| (keep_only(0).unwrap(), set(1 << 12).unwrap_err()));
        assert_eq!(thread.join().unwrap().1.raw_os_error(), Some(libc::EPERM));
    }
}
