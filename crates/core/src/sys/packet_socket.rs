//! A packet socket: what it is set up with, and what it is asked.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// In the byte order of the network, as the kernel wants it.
#[allow(clippy::cast_possible_truncation, reason = "the constant is 3")]
const EVERY_PROTOCOL: u16 = (libc::ETH_P_ALL as u16).to_be();
#[allow(clippy::cast_possible_truncation, reason = "the constant is 17")]
const FAMILY: libc::sa_family_t = libc::AF_PACKET as libc::sa_family_t;

#[allow(clippy::cast_possible_truncation, reason = "the sizes of small structures")]
const fn length_of<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

/// What the kernel counted since it was asked last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Statistics {
    /// That passed the filter, those that were dropped included.
    pub packets: u32,
    /// That found no room in the ring.
    pub dropped: u32,
    /// How often the ring was found full.
    pub full: u32,
}

#[derive(Debug)]
pub struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// Opens a socket in the network namespace of the calling thread. It receives nothing before [`Self::bind`].
    ///
    /// # Errors
    /// EPERM without `CAP_NET_RAW`.
    pub fn open() -> io::Result<Self> {
        // SAFETY: only integers cross; the descriptor returned is ours alone.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just made and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// A socket of another kind, which needs no capability: it knows the names of interfaces, and can do nothing else.
    ///
    /// # Errors
    /// The kernel's.
    #[cfg(test)]
    pub(crate) fn for_names() -> io::Result<Self> {
        std::net::UdpSocket::bind("127.0.0.1:0").map(|socket| Self(socket.into()))
    }

    /// Has the kernel write how a super-packet is to be split in front of each packet.
    ///
    /// # Errors
    /// Kernels that cannot.
    pub fn tell_segments(&self) -> io::Result<()> {
        self.set(libc::PACKET_VNET_HDR, &1_i32)
    }

    /// Receives from all interfaces, as the filter lets it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn bind(&self) -> io::Result<()> {
        // SAFETY: sockaddr_ll is plain data for which zero is valid.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = FAMILY;
        address.sll_protocol = EVERY_PROTOCOL;
        // SAFETY: the address lives across the call and its length is given.
        let result =
            unsafe { libc::bind(self.as_raw_fd(), (&raw const address).cast(), length_of::<libc::sockaddr_ll>()) };
        done(result)
    }

    /// Shares packets with the other sockets of a group, by their addresses and ports. Without a group a new one is made.
    /// Returns the number of the group.
    ///
    /// # Errors
    /// The kernel's; those before 4.12 choose no number.
    pub fn share(&self, group: Option<u16>) -> io::Result<u16> {
        let flags = if group.is_some() { 0 } else { libc::PACKET_FANOUT_FLAG_UNIQUEID };
        let mode = (libc::PACKET_FANOUT_HASH | flags) << 16;
        self.set(libc::PACKET_FANOUT, &(mode | u32::from(group.unwrap_or(0))))?;
        let chosen: u32 = self.get(libc::PACKET_FANOUT)?;
        u16::try_from(chosen & 0xffff).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// Has an interface receive what is for other machines, until the socket is closed.
    ///
    /// # Errors
    /// ENODEV when it is gone.
    pub fn make_promiscuous(&self, interface: u32) -> io::Result<()> {
        // SAFETY: packet_mreq is plain data for which zero is valid.
        let mut request: libc::packet_mreq = unsafe { std::mem::zeroed() };
        request.mr_ifindex = i32::try_from(interface).map_err(|_| io::ErrorKind::InvalidInput)?;
        request.mr_type = u16::try_from(libc::PACKET_MR_PROMISC).unwrap_or(1);
        self.set(libc::PACKET_ADD_MEMBERSHIP, &request)
    }

    /// The name of an interface in the network namespace of the socket.
    ///
    /// # Errors
    /// ENODEV when there is no such interface.
    pub fn interface_name(&self, interface: u32) -> io::Result<String> {
        // SAFETY: ifreq is plain data for which zero is valid.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        request.ifr_ifru.ifru_ifindex = i32::try_from(interface).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the request lives across the call and is of the type that this one takes.
        done(unsafe { libc::ioctl(self.as_raw_fd(), libc::SIOCGIFNAME, &raw mut request) })?;
        let bytes = request.ifr_name.map(libc::c_char::cast_unsigned);
        let name = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(name).into_owned())
    }

    /// # Errors
    /// The kernel's.
    pub fn take_statistics(&self) -> io::Result<Statistics> {
        let counted: libc::tpacket_stats_v3 = self.get(libc::PACKET_STATISTICS)?;
        Ok(Statistics { packets: counted.tp_packets, dropped: counted.tp_drops, full: counted.tp_freeze_q_cnt })
    }

    /// Takes an error that the kernel has left at the socket, so that waiting for it does not return at once for ever.
    pub fn clear_error(&self) {
        let mut error = 0_i32;
        let mut length = length_of::<i32>();
        // SAFETY: the integer lives across the call and no more than its length is written.
        unsafe {
            libc::getsockopt(
                self.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ERROR,
                (&raw mut error).cast(),
                &raw mut length,
            )
        };
    }

    pub(super) fn set<T>(&self, option: libc::c_int, value: &T) -> io::Result<()> {
        let value = std::ptr::from_ref(value).cast();
        // SAFETY: the value lives across the call and its length is given.
        done(unsafe { libc::setsockopt(self.as_raw_fd(), libc::SOL_PACKET, option, value, length_of::<T>()) })
    }

    fn get<T>(&self, option: libc::c_int) -> io::Result<T> {
        // SAFETY: only asked for integers and structures of them, for which zero is valid.
        let mut value: T = unsafe { std::mem::zeroed() };
        let mut length = length_of::<T>();
        // SAFETY: the value lives across the call and no more than its length is written.
        let result = unsafe {
            libc::getsockopt(self.as_raw_fd(), libc::SOL_PACKET, option, (&raw mut value).cast(), &raw mut length)
        };
        done(result)?;
        Ok(value)
    }
}

impl AsRawFd for PacketSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The interfaces of the network namespace of the calling thread, by index.
///
/// # Errors
/// The kernel's.
pub fn interfaces() -> io::Result<Vec<(u32, String)>> {
    // SAFETY: no argument; what it returns is freed below.
    let list = unsafe { libc::if_nameindex() };
    if list.is_null() {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let mut at = list;
    loop {
        // SAFETY: the list goes on to an entry whose index is 0, behind which this does not go.
        let entry = unsafe { &*at };
        if entry.if_index == 0 {
            break;
        }
        // SAFETY: the name of an entry ends with a NUL and lives as long as the list.
        let name = unsafe { CStr::from_ptr(entry.if_name) };
        found.push((entry.if_index, name.to_string_lossy().into_owned()));
        // SAFETY: the last entry has not been reached.
        at = unsafe { at.add(1) };
    }
    // SAFETY: made by if_nameindex, freed once, and no reference into it is left.
    unsafe { libc::if_freenameindex(list) };
    Ok(found)
}

/// Whether the kernel can tell the segments of all super-packets that there are. It drops the others when it is asked to
/// (`include/linux/virtio_net.h`: `virtio_net_hdr_from_skb`): those of UDP before 6.2, and those of SCTP, which only a
/// kernel makes that speaks it. What is left are fragments of UDP that a virtual machine did not make itself.
#[must_use]
pub fn tells_all_segments() -> bool {
    // SAFETY: utsname is plain data for which zero is valid.
    let mut names: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the structure lives across the call.
    if unsafe { libc::uname(&raw mut names) } != 0 {
        return false;
    }
    let release = names.release.map(libc::c_char::cast_unsigned);
    let mut parts = release.split(|byte| !byte.is_ascii_digit()).filter_map(|part| {
        let digits = std::str::from_utf8(part).ok()?;
        digits.parse::<u32>().ok()
    });
    let tells_udp = matches!((parts.next(), parts.next()), (Some(major), Some(minor)) if (major, minor) >= (6, 2));
    // Of the machine, not of a network namespace.
    tells_udp && !std::fs::read_to_string("/proc/net/protocols").is_ok_and(|known| speaks_sctp(&known))
}

/// Whether SCTP is among the protocols of `/proc/net/protocols`.
fn speaks_sctp(known: &str) -> bool {
    known.lines().any(|line| line.starts_with("SCTP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_speaks_sctp_is_known_by_its_list() {
        let without = "protocol  size sockets  memory press maxhdr  slab module     cl co\n\
                       UDP       1472      4       2   NI       0   yes  kernel      y  y\n";
        assert!(!speaks_sctp(without));
        assert!(speaks_sctp(&format!("{without}SCTPv6    1720      0       0   no       0   yes  sctp        y  y\n")));
    }
}
