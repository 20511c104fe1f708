//! The ring of a packet socket: memory that the kernel fills block by block (`TPACKET_V3`).

use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::packet_socket::PacketSocket;

/// Where the words of a block's header are (`struct tpacket_hdr_v1` behind two words).
const STATUS_AT: usize = 8;
const PACKETS_AT: usize = 12;
/// What the kernel divides blocks by; version 3 has frames of any length, and makes nothing of it.
const FRAME_BYTES: usize = 2048;
const KERNEL: u32 = 0;

/// A mapped ring. Its socket must live as long as it is to be filled.
#[derive(Debug)]
pub struct Ring {
    pointer: NonNull<u8>,
    block_bytes: usize,
    blocks: usize,
    /// The block that the kernel hands over next.
    next: usize,
}

// SAFETY: the ring is memory that this value owns together with the kernel; nothing about it belongs to a thread.
unsafe impl Send for Ring {}

impl Ring {
    /// Makes the ring of `socket`: about `bytes`, in blocks that are handed over full or `retire_milliseconds` old.
    ///
    /// # Errors
    /// ENOMEM; kernels before 3.2.
    pub fn new(socket: &PacketSocket, bytes: usize, block_bytes: usize, retire_milliseconds: u32) -> io::Result<Self> {
        let blocks = (bytes / block_bytes).max(2);
        let small = |number: usize| u32::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
        socket.set(libc::PACKET_VERSION, &(libc::tpacket_versions::TPACKET_V3 as libc::c_int))?;
        let request = libc::tpacket_req3 {
            tp_block_size: small(block_bytes)?,
            tp_block_nr: small(blocks)?,
            tp_frame_size: small(FRAME_BYTES)?,
            tp_frame_nr: small(block_bytes / FRAME_BYTES * blocks)?,
            tp_retire_blk_tov: retire_milliseconds,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        socket.set(libc::PACKET_RX_RING, &request)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let address = unsafe {
            libc::mmap(std::ptr::null_mut(), block_bytes * blocks, protection, libc::MAP_SHARED, socket.as_raw_fd(), 0)
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let pointer = NonNull::new(address.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { pointer, block_bytes, blocks, next: 0 })
    }

    #[must_use]
    pub fn bytes(&self) -> usize {
        self.block_bytes * self.blocks
    }

    /// How many blocks it has.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// The next block, if the kernel has handed it over. It is ours until [`Self::hand_back`].
    #[must_use]
    pub fn block(&self) -> Option<&[u8]> {
        if self.word(STATUS_AT).load(Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: the block is within the mapping. The kernel has set its status, which was loaded with Acquire: it has
        // written all of it, and leaves it alone until `hand_back`, which needs `&mut self`, so that no reference is left.
        Some(unsafe { std::slice::from_raw_parts(self.at(0), self.block_bytes) })
    }

    /// Gives the next block back to the kernel, when [`Self::block`] had it, and goes on to the one behind it.
    pub fn hand_back(&mut self) {
        // The kernel sets it when it opens the block; until then nothing is in it.
        self.word(PACKETS_AT).store(0, Relaxed);
        self.word(STATUS_AT).store(KERNEL, Release);
        self.next = (self.next + 1) % self.blocks;
    }

    /// Whether the block that is being filled has no packet yet. A hint: one may just be coming.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.word(PACKETS_AT).load(Relaxed) == 0
    }

    fn at(&self, offset: usize) -> *const u8 {
        // SAFETY: `next` is below the number of blocks and `offset` within a block: the address is within the mapping.
        unsafe { self.pointer.as_ptr().add(self.next * self.block_bytes + offset).cast_const() }
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: within the mapping, aligned to 4 bytes as blocks are to pages, and any bits are a number. The kernel
        // writes it as a word, and we as an atomic one.
        unsafe { AtomicU32::from_ptr(self.at(offset).cast_mut().cast()) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: pointer and length are those of the mapping, and no reference outlives `self`.
        unsafe { libc::munmap(self.pointer.as_ptr().cast(), self.block_bytes * self.blocks) };
    }
}
