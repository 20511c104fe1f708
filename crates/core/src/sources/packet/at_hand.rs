//! What a receiver knows of interfaces without asking: the answers that it got before.

use std::sync::Arc;

use crate::sys::packet_socket::PacketSocket;
use crate::table::header::Header;
use crate::table::interfaces::MORE;

use super::frame::Frame;
use super::interfaces::{Interfaces, Known};

/// Interfaces that are kept at hand, by the last bits of their index.
const PLACES: usize = 1024;

#[derive(Debug)]
pub(super) struct AtHand {
    places: Box<[(u32, Known)]>,
    interfaces: Arc<Interfaces>,
    socket: Arc<PacketSocket>,
    version: u64,
}

impl AtHand {
    pub(super) fn new(interfaces: Arc<Interfaces>, socket: Arc<PacketSocket>) -> Self {
        let version = interfaces.version();
        let places = vec![(0, Known::default()); PLACES].into_boxed_slice();
        Self { places, interfaces, socket, version }
    }

    /// Forgets what may be wrong by now.
    pub(super) fn refresh(&mut self) {
        let version = self.interfaces.version();
        if self.version != version {
            self.version = version;
            self.forget();
        }
    }

    /// Forgets all: the next table file has no names yet.
    pub(super) fn forget(&mut self) {
        self.places.fill((0, Known::default()));
    }

    /// What is known of the interface of a frame that came at a moment; `header` is that of the file it goes into.
    #[allow(clippy::inline_always, reason = "once, in the loop over frames")]
    #[inline(always)]
    pub(super) fn known(&mut self, frame: &Frame<'_>, time_ns: u64, header: Header<'_>) -> Known {
        let index = frame.interface();
        match self.places.get(index as usize % PLACES) {
            Some((at_hand, known)) if *at_hand == index && time_ns >= known.since_ns => *known,
            _ => self.look_up(index, frame.is_of_loopback(), time_ns, header),
        }
    }

    #[cold]
    #[inline(never)]
    fn look_up(&mut self, index: u32, is_loopback: bool, at_ns: u64, header: Header<'_>) -> Known {
        let found = self.interfaces.look_up(&self.socket, index, is_loopback, at_ns);
        let mut known = found.known;
        if known.number != 0 && known.number != MORE {
            known.number = header.note_interface(known.number, &found.name);
        }
        if found.is_present
            && let Some(place) = self.places.get_mut(index as usize % PLACES)
        {
            *place = (index, known);
        }
        known
    }
}
