//! One bound NFLOG group: its socket and the requests to the kernel.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use crate::error::{Error, Kind, reason};
use crate::netlink::{ConfigAttribute, nflog_config};
use crate::rights;
use crate::sys::netlink_socket::NetlinkSocket;
use crate::table::header::GroupSpec;

/// How the kernel is to gather packets for us.
#[derive(Clone, Copy, Debug)]
pub struct Gathering {
    pub receive_buffer_bytes: i32,
    pub timeout_centiseconds: u32,
}

/// The largest buffer that the kernel takes (`nfnetlink_log.c`: `nfulnl_set_nlbufsiz`): it makes datagrams of about
/// 1,800 packets, and the cost of a receive is shared by all of them.
const KERNEL_BUFFER_BYTES: u32 = 131_072;
/// Never reached: a full buffer or the timeout decides when the kernel sends, not a number of packets.
const THRESHOLD_PACKETS: u32 = 65_535;

#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) socket: NetlinkSocket,
    pub(crate) group: u16,
    next_request: u32,
}

impl Port {
    /// Opens the socket; nothing is bound yet.
    pub(crate) fn open(group: &GroupSpec, gathering: &Gathering) -> Result<Self, Error> {
        let subject = || format!("nflog group {}", group.number);
        let socket = NetlinkSocket::open().map_err(|e| Error::io(subject(), "open", &e))?;
        socket.force_receive_buffer(gathering.receive_buffer_bytes).map_err(|e| {
            let error = Error::io(subject(), "set the receive buffer", &e);
            if e.kind() == io::ErrorKind::PermissionDenied {
                error.with_kind(Kind::PermissionDenied).with_hint(rights::hint(&[rights::NET_ADMIN]))
            } else {
                error
            }
        })?;
        Ok(Self { socket, group: group.number, next_request: 0 })
    }

    /// The requests that set a group up, in their order. Sequence numbers come first behind the bind, so that the packets
    /// of a busy group are numbered from the start.
    pub(crate) fn setup(group: &GroupSpec, gathering: &Gathering) -> [(ConfigAttribute, &'static str); 6] {
        [
            (ConfigAttribute::Bind, "bind"),
            (ConfigAttribute::SequenceNumbers, "ask for sequence numbers"),
            (ConfigAttribute::CopyPacket { range_bytes: group.copy_range_bytes }, "set the copy range"),
            (ConfigAttribute::BufferBytes(KERNEL_BUFFER_BYTES), "set the kernel's buffer"),
            (ConfigAttribute::Threshold(THRESHOLD_PACKETS), "set the threshold"),
            (ConfigAttribute::Timeout { centiseconds: gathering.timeout_centiseconds }, "set the timeout"),
        ]
    }

    /// Sends a request; its number comes back with the answer.
    pub(crate) fn request(&mut self, attribute: ConfigAttribute, operation: &'static str) -> Result<u32, Error> {
        self.next_request += 1;
        let mut message = Vec::new();
        nflog_config(&mut message, self.next_request, self.group, 0, attribute);
        self.socket.send(&message).map_err(|e| Error::io(self.subject(), operation, &e))?;
        Ok(self.next_request)
    }

    pub(crate) fn subject(&self) -> String {
        format!("nflog group {}", self.group)
    }

    /// What an answer other than "done" means.
    ///
    /// The kernel says EPERM when another socket holds the group (`nfnetlink_log.c`: `nfulnl_recv_config`); that the
    /// capability is there was shown by the receive buffer before.
    pub(crate) fn refused(&self, operation: &'static str, errno: i32) -> Error {
        let error = io::Error::from_raw_os_error(errno);
        let made = Error::new(Kind::Source, self.subject(), operation, reason(&error));
        if operation == "bind" && matches!(errno, libc::EPERM | libc::EBUSY) {
            return made
                .with_kind(Kind::GroupBusy)
                .with_hint("another socket holds this group; choose another or end it");
        }
        made
    }
}

impl AsRawFd for Port {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
