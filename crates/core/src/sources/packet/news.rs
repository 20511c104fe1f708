//! What interfaces were called that are gone by now, as the kernel told it when they came.
//!
//! An interface may come, pass a packet and go before that packet is read from the ring: then its name cannot be asked for
//! any more. But the kernel queues the news of it before any packet can pass, so they are here by then.

use std::collections::{HashMap, VecDeque};
use std::io;

use crate::nfnetlink::Attributes;
use crate::sys::netlink_socket::{NetlinkSocket, Received};

const RTM_NEWLINK: u16 = 16;
const IFLA_IFNAME: u16 = 3;
const HEADER_BYTES: usize = 16;
const INTERFACE_BYTES: usize = 16;

/// A thousand interfaces at once have room, whatever the system's default is.
const BUFFER_BYTES: i32 = 4 << 20;
/// Messages about one interface are a few KiB.
const DATAGRAM_BYTES: usize = 32 << 10;
/// Names that are kept; packets of an interface that went are read within a second.
const NAMES_MAX: usize = 8192;
/// Bounds one reading; the next one goes on.
const DATAGRAMS_MAX: usize = 1 << 16;

/// The news of a network namespace. Nobody needs to wait for them: who wants to know reads what is there.
#[derive(Debug)]
pub(super) struct News {
    socket: NetlinkSocket,
    buffer: Vec<u8>,
    names: Names,
}

impl News {
    /// Of the network namespace of the calling thread, from now on.
    pub(super) fn open() -> io::Result<Self> {
        let socket = NetlinkSocket::open_for_links()?;
        // Without the capability there is less room: what does not fit is known by the interface itself as long as it is there.
        let _less = socket.force_receive_buffer(BUFFER_BYTES);
        Ok(Self { socket, buffer: vec![0; DATAGRAM_BYTES], names: Names::default() })
    }

    /// Takes in what the kernel has told since the last time.
    pub(super) fn read(&mut self) {
        for _ in 0..DATAGRAMS_MAX {
            match self.socket.receive(&mut self.buffer) {
                Ok(Received::Datagram { bytes, .. }) => {
                    self.names.take(self.buffer.get(..bytes).unwrap_or_default());
                }
                Ok(Received::Overrun) => {}
                Ok(Received::Empty) | Err(_) => return,
            }
        }
    }

    /// What an index was called last.
    pub(super) fn name(&self, index: u32) -> Option<&str> {
        self.names.by_index.get(&index).map(String::as_str)
    }
}

/// The newest names, by index.
#[derive(Debug, Default)]
struct Names {
    by_index: HashMap<u32, String>,
    oldest_first: VecDeque<u32>,
}

impl Names {
    /// Takes in the messages of a datagram. What cannot be read tells nothing.
    fn take(&mut self, datagram: &[u8]) {
        let mut rest = datagram;
        while let Some(header) = rest.first_chunk::<HEADER_BYTES>() {
            let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
            let Ok(length) = usize::try_from(length) else { return };
            let Some(body) = rest.get(HEADER_BYTES..length) else { return };
            if u16::from_ne_bytes([header[4], header[5]]) == RTM_NEWLINK {
                self.note(body);
            }
            let Some(next) = length.checked_next_multiple_of(4) else { return };
            rest = rest.get(next..).unwrap_or_default();
        }
    }

    fn note(&mut self, body: &[u8]) -> Option<()> {
        let fixed = body.first_chunk::<INTERFACE_BYTES>()?;
        let index = u32::from_ne_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
        let attributes = Attributes::new(body.get(INTERFACE_BYTES..)?);
        let name = attributes.map_while(Result::ok).find(|attribute| attribute.kind == IFLA_IFNAME)?;
        let name = String::from_utf8_lossy(name.text()).into_owned();
        if self.by_index.insert(index, name).is_none() {
            self.oldest_first.push_back(index);
        }
        if self.oldest_first.len() > NAMES_MAX {
            self.oldest_first.pop_front().and_then(|oldest| self.by_index.remove(&oldest));
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, index: u32, name: &[u8]) -> Vec<u8> {
        let mut body = vec![0; INTERFACE_BYTES];
        body.splice(4..8, index.to_ne_bytes());
        body.extend(8_u16.to_ne_bytes());
        body.extend([27, 0, 1, 2, 3, 4]); // another attribute before it
        body.extend(u16::try_from(4 + name.len()).unwrap_or(u16::MAX).to_ne_bytes());
        body.extend(IFLA_IFNAME.to_ne_bytes());
        body.extend(name);
        let mut whole = u32::try_from(HEADER_BYTES + body.len()).unwrap_or(u32::MAX).to_ne_bytes().to_vec();
        whole.extend(kind.to_ne_bytes());
        whole.extend([0; 10]);
        whole.extend(body);
        whole.resize(whole.len().next_multiple_of(4), 0);
        whole
    }

    fn name(names: &Names, index: u32) -> Option<&str> {
        names.by_index.get(&index).map(String::as_str)
    }

    #[test]
    fn the_newest_name_of_each_index_is_known() {
        let mut names = Names::default();
        let mut datagram = message(RTM_NEWLINK, 7, b"ppp0\0");
        datagram.extend(message(RTM_NEWLINK, 8, b"ppp1\0"));
        datagram.extend(message(17, 8, b"ppp1\0")); // it has gone
        names.take(&datagram);
        names.take(&message(RTM_NEWLINK, 7, b"isp\0"));
        assert_eq!((name(&names, 7), name(&names, 8), name(&names, 9)), (Some("isp"), Some("ppp1"), None));
    }

    #[test]
    fn cut_messages_are_harmless_wherever_they_end() {
        let whole = message(RTM_NEWLINK, 7, b"ppp0\0");
        for end in 0..whole.len() {
            Names::default().take(whole.get(..end).unwrap_or_default());
        }
        for place in 0..whole.len() {
            let mut broken = whole.clone();
            if let Some(byte) = broken.get_mut(place) {
                *byte = 0xFF;
            }
            Names::default().take(&broken);
        }
    }

    #[test]
    fn a_message_without_length_ends_the_reading() {
        Names::default().take(&[0; 64]);
    }

    #[test]
    fn the_oldest_names_make_room() {
        let mut names = Names::default();
        let last = u32::try_from(NAMES_MAX).unwrap_or(u32::MAX);
        for index in 0..=last {
            names.take(&message(RTM_NEWLINK, index, b"x\0"));
        }
        assert_eq!((names.by_index.len(), name(&names, 0), name(&names, last)), (NAMES_MAX, None, Some("x")));
    }

    #[test]
    fn a_namespace_without_news_tells_nothing() {
        let mut news = News::open().expect("a socket needs no privilege");
        news.read();
        assert_eq!(news.name(u32::MAX), None);
    }
}
