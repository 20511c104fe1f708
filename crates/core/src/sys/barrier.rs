//! Waiting for packets that are under way.

use std::thread::sleep;
use std::time::Duration;

/// `MEMBARRIER_CMD_GLOBAL`
const GLOBAL: libc::c_int = 1;
/// Where the kernel refuses, with `nohz_full` say: far longer than a packet takes from one hook to the next.
const INSTEAD: Duration = Duration::from_millis(10);

/// Returns when every packet that was inside netfilter's hooks at the call has left them. Blocks for some ms.
///
/// Packets pass the hooks in RCU read-side sections, and membarrier(2) waits for all of those (`synchronize_rcu`).
pub fn wait_for_packets_under_way() {
    let (flags, cpu): (libc::c_uint, libc::c_int) = (0, 0);
    // SAFETY: the call takes numbers only.
    let done = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, flags, cpu) };
    if done != 0 {
        sleep(INSTEAD);
    }
}
