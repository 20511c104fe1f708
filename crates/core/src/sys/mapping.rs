//! Memory mappings: anonymous ones, and parts of a file that outlive the process.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// The size that offsets into a file must be a multiple of, on every machine we run on.
pub const PAGE_BYTES: usize = 4096;

/// A private or shared mapping, unmapped on drop.
///
/// It is used either as words or as bytes, never as both: the receive buffer is bytes, everything else words.
#[derive(Debug)]
pub struct Mapping {
    pointer: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the mapping is plain memory that this value owns; nothing about it belongs to a thread.
unsafe impl Send for Mapping {}
// SAFETY: shared access goes through atomics (`words`) or is read-only (`bytes`); writing bytes takes `&mut self`.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Memory that nobody else sees. Pages are taken when they are first touched, huge ones where the kernel has them.
    ///
    /// # Errors
    /// The kernel's, if it has no address space left.
    pub fn anonymous(bytes: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let mapping = Self::map(bytes, flags, -1, 0)?;
        // SAFETY: the range is the mapping just made. The advice may be refused; it changes speed only.
        unsafe { libc::madvise(mapping.pointer.as_ptr().cast(), mapping.bytes, libc::MADV_HUGEPAGE) };
        Ok(mapping)
    }

    /// A part of `file`, shared with it: what is written here is in the file when this process is gone.
    ///
    /// With `populate` all its pages are made at once. The file must hold `offset + bytes` bytes; reading beyond its end
    /// would end the process, so nobody may truncate it: files are locked by their writer.
    ///
    /// # Errors
    /// The kernel's.
    pub fn shared(file: &File, offset: u64, bytes: usize, populate: bool) -> io::Result<Self> {
        let end = offset.checked_add(bytes as u64).ok_or_else(out_of_range)?;
        if file.metadata()?.len() < end {
            return Err(out_of_range());
        }
        let flags = if populate { libc::MAP_SHARED | libc::MAP_POPULATE } else { libc::MAP_SHARED };
        Self::map(bytes, flags, file.as_raw_fd(), offset)
    }

    /// What the kernel gives for a file that has no length.
    #[cfg(feature = "bpf")]
    pub(super) fn shared_unchecked(file: &File, bytes: usize) -> io::Result<Self> {
        Self::map(bytes, libc::MAP_SHARED, file.as_raw_fd(), 0)
    }

    fn map(bytes: usize, flags: i32, fd: i32, offset: u64) -> io::Result<Self> {
        let offset = libc::off_t::try_from(offset).map_err(|_| out_of_range())?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, fd, offset) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let pointer = NonNull::new(address.cast()).ok_or_else(out_of_range)?;
        Ok(Self { pointer, bytes })
    }

    /// Makes the first `bytes` of the pages now, so that the first packet of a key does not pay for it. Kernels before 5.14
    /// refuse, which changes speed only.
    pub fn populate(&self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        // SAFETY: the range is within the mapping; the call changes no content.
        unsafe { libc::madvise(self.pointer.as_ptr().cast(), bytes, libc::MADV_POPULATE_WRITE) };
    }

    /// The mapping as 64-bit words that may be read and written through a shared reference.
    #[must_use]
    #[inline]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, lives as long as `self`, and any bit pattern is a valid word. Atomics make
        // concurrent changes by another thread or process sound.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr().cast(), self.bytes / size_of::<AtomicU64>()) }
    }

    /// The mapping as bytes to read.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping lives as long as `self`; writers need `&mut self`, and other processes are kept out by the
        // file's lock.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.bytes) }
    }

    /// The mapping as bytes to write.
    #[must_use]
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `bytes`, and `&mut self` makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.as_ptr(), self.bytes) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: pointer and length are those of the mapping, and no reference outlives `self`.
        unsafe { libc::munmap(self.pointer.as_ptr().cast(), self.bytes) };
    }
}

fn out_of_range() -> io::Error {
    io::Error::from_raw_os_error(libc::EOVERFLOW)
}

/// Takes the disk space of a part of a file now, so that a full disk is an error here and not a signal at a later write.
///
/// # Errors
/// ENOSPC when there is no room, or whatever else the file system says.
pub fn reserve(file: &File, offset: u64, bytes: u64) -> io::Result<()> {
    let offset = libc::off_t::try_from(offset).map_err(|_| out_of_range())?;
    let bytes = libc::off_t::try_from(bytes).map_err(|_| out_of_range())?;
    loop {
        // SAFETY: only integers cross.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), offset, bytes) } {
            0 => return Ok(()),
            libc::EINTR => {}
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

/// Asks the CPU for the cache line of `slice[index]`. An index out of range does nothing, or asks for what is there: whether
/// it is right would cost more to see.
#[inline(always)]
#[allow(clippy::inline_always, reason = "one instruction")]
pub fn prefetch<T>(slice: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that a program can see, and does nothing at an address that is not valid.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(
            slice.as_ptr().wrapping_add(index).cast(),
        );
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (slice, index);
}
