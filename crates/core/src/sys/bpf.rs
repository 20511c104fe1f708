//! bpf(2), by the functions of libbpf: objects, maps, pins. What holds a descriptor closes it.
//!
//! Only calls that libbpf-rs has no safe form of, or whose error number its own form hides.

use std::ffi::{CString, c_int, c_void};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libbpf_rs::libbpf_sys as raw;
use libbpf_rs::{AsRawLibbpf, Object, OpenObject};

use super::mapping::Mapping;

/// Loads maps and programs. The kernel's own error number comes back.
///
/// # Errors
/// The kernel's; why it refused a program is in what libbpf prints.
pub fn load(object: OpenObject) -> io::Result<Object> {
    let pointer = object.take_ptr();
    // SAFETY: an opened object that was not loaded before, and that nobody else knows.
    let result = done(unsafe { raw::bpf_object__load(pointer.as_ptr()) });
    match result {
        // SAFETY: it is loaded, and still ours alone.
        Ok(_) => Ok(unsafe { Object::from_ptr(pointer) }),
        Err(error) => {
            // SAFETY: as above; what was not loaded is closed as an opened object is.
            drop(unsafe { OpenObject::from_ptr(pointer) });
            Err(error)
        }
    }
}

/// What an object has in its section `version`; 0: it has none.
#[must_use]
pub fn version(object: &OpenObject) -> u32 {
    // SAFETY: the object lives as long as it is lent; nothing is written.
    unsafe { raw::bpf_object__kversion(object.as_libbpf_object().as_ptr()) }
}

/// A copy of the descriptor of a loaded program.
///
/// # Errors
/// No descriptor is left.
pub fn program_descriptor(program: &libbpf_rs::Program<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the program lives as long as it is lent.
    let number = done(unsafe { raw::bpf_program__fd(program.as_libbpf_object().as_ptr()) })?;
    // SAFETY: libbpf keeps the descriptor open as long as the program lives.
    unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned()
}

/// Pins what a descriptor stands for: it lives on when nobody has it open.
///
/// # Errors
/// The file system's: it has to be a BPF one.
pub fn pin(descriptor: &OwnedFd, path: &Path) -> io::Result<()> {
    let path = text(path)?;
    // SAFETY: the path ends with a NUL and lives across the call.
    done(unsafe { raw::bpf_obj_pin(descriptor.as_raw_fd(), path.as_ptr()) }).map(drop)
}

/// Opens what is pinned.
///
/// # Errors
/// The file system's.
pub fn open_pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = text(path)?;
    // SAFETY: as for `pin`.
    let descriptor = done(unsafe { raw::bpf_obj_get(path.as_ptr()) })?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// The form of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapForm {
    pub key_bytes: usize,
    pub value_bytes: usize,
    pub entries_max: u32,
}

/// A map of the kernel.
#[derive(Debug)]
pub struct Map {
    descriptor: OwnedFd,
    /// What is pinned may be anybody's: how much the kernel reads and writes at an address is told by this as well.
    kind: raw::bpf_map_type,
    pub form: MapForm,
}

impl Map {
    /// A hash whose memory is taken now.
    ///
    /// # Errors
    /// The kernel's: no memory is left.
    pub fn hash(form: MapForm) -> io::Result<Self> {
        Self::create(raw::BPF_MAP_TYPE_HASH, form)
    }

    /// An array.
    ///
    /// # Errors
    /// As [`Self::hash`].
    pub fn array(form: MapForm) -> io::Result<Self> {
        Self::create(raw::BPF_MAP_TYPE_ARRAY, form)
    }

    /// An array that has a value per CPU.
    #[cfg(test)]
    pub(crate) fn array_per_cpu(form: MapForm) -> io::Result<Self> {
        Self::create(raw::BPF_MAP_TYPE_PERCPU_ARRAY, form)
    }

    fn create(kind: raw::bpf_map_type, form: MapForm) -> io::Result<Self> {
        let number = |bytes: usize| u32::try_from(bytes).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG));
        let (key, value) = (number(form.key_bytes)?, number(form.value_bytes)?);
        // SAFETY: the name ends with a NUL; no options.
        let made =
            unsafe { raw::bpf_map_create(kind, c"netledger".as_ptr(), key, value, form.entries_max, std::ptr::null()) };
        // SAFETY: the kernel has just made it for us.
        let descriptor = unsafe { OwnedFd::from_raw_fd(done(made)?) };
        Ok(Self { descriptor, kind, form })
    }

    /// Of a descriptor that stands for a map.
    ///
    /// # Errors
    /// It stands for something else.
    pub fn of(descriptor: OwnedFd) -> io::Result<Self> {
        let mut info = raw::bpf_map_info::default();
        let mut bytes = length_of(&info);
        // SAFETY: the kernel writes at most `bytes` bytes into `info`, which is plain numbers.
        done(unsafe { raw::bpf_map_get_info_by_fd(descriptor.as_raw_fd(), &raw mut info, &raw mut bytes) })?;
        let form = MapForm {
            key_bytes: info.key_size as usize,
            value_bytes: info.value_size as usize,
            entries_max: info.max_entries,
        };
        Ok(Self { descriptor, kind: info.type_, form })
    }

    /// Whether it is a hash, of which all elements may be read by [`look_up_many`].
    #[must_use]
    pub fn is_hash(&self) -> bool {
        self.kind == raw::BPF_MAP_TYPE_HASH
    }

    #[must_use]
    pub fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }

    /// Writes an element of an array; of one that has a value per CPU all of them, one behind the other.
    ///
    /// # Errors
    /// The kernel's; the size is not the map's, or it is no array.
    pub fn update(&self, key: u32, value: &[u8]) -> io::Result<()> {
        self.fits(value.len())?;
        let (key, value) = ((&raw const key).cast(), value.as_ptr().cast());
        // SAFETY: key and value live across the call and are as long as the kernel takes them to be (`fits`).
        done(unsafe { raw::bpf_map_update_elem(self.descriptor.as_raw_fd(), key, value, 0) }).map(drop)
    }

    /// Adds a row, as a program would.
    ///
    /// # Errors
    /// The kernel's; the sizes are not the map's.
    #[cfg(test)]
    pub(crate) fn insert(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        if key.len() != self.form.key_bytes || value.len() != self.form.value_bytes {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let (key, value) = (key.as_ptr().cast(), value.as_ptr().cast());
        // SAFETY: key and value live across the call and are as long as the map says.
        done(unsafe { raw::bpf_map_update_elem(self.descriptor.as_raw_fd(), key, value, 0) }).map(drop)
    }

    /// Reads an element of an array into `value`; of one that has a value per CPU all of them, one behind the other.
    ///
    /// # Errors
    /// As [`Self::update`]; there is none.
    pub fn look_up(&self, key: u32, value: &mut [u8]) -> io::Result<()> {
        self.fits(value.len())?;
        let (key, value) = ((&raw const key).cast(), value.as_mut_ptr().cast());
        // SAFETY: key and value live across the call and are as long as the kernel takes them to be (`fits`).
        done(unsafe { raw::bpf_map_lookup_elem(self.descriptor.as_raw_fd(), key, value) }).map(drop)
    }

    /// Whether so many bytes are what is read and written of an element of this array.
    ///
    /// # Errors
    /// They are not, or it is none.
    pub fn fits(&self, bytes: usize) -> io::Result<()> {
        let value_bytes = match self.kind {
            raw::BPF_MAP_TYPE_ARRAY | raw::BPF_MAP_TYPE_ARRAY_OF_MAPS => Some(self.form.value_bytes),
            // Each of them takes a multiple of eight.
            raw::BPF_MAP_TYPE_PERCPU_ARRAY => Some(self.form.value_bytes.next_multiple_of(8) * cpus()?),
            _ => None,
        };
        let is_right = self.form.key_bytes == size_of::<u32>() && value_bytes == Some(bytes);
        if is_right { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EINVAL)) }
    }

    /// Puts another map into an element of a map of maps, and waits until no program runs that had found the one before.
    ///
    /// # Errors
    /// The kernel's.
    pub fn install(&self, key: u32, inner: &Self) -> io::Result<()> {
        self.update(key, &inner.descriptor.as_raw_fd().to_ne_bytes())
    }

    /// The value of an array of one element, shared with the programs that use it.
    ///
    /// # Errors
    /// The kernel's: it was not made to be mapped.
    pub fn mapped(&self) -> io::Result<Mapping> {
        Mapping::of_descriptor(&self.descriptor, self.form.value_bytes)
    }
}

/// How many values a map has that has one per CPU.
///
/// # Errors
/// `/sys` is not there.
pub fn cpus() -> io::Result<usize> {
    // SAFETY: takes nothing, gives a number.
    let number = done(unsafe { raw::libbpf_num_possible_cpus() })?;
    usize::try_from(number).map_err(io::Error::other)
}

/// Where a look-up of many has got to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor(Option<u32>);

/// What a look-up of many gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// So many elements; there may be more.
    Some(usize),
    /// So many elements, and these were the last.
    Last(usize),
    /// Elements that the kernel gives together find no room.
    NoRoom,
}

/// Reads the next elements of a hash into `keys` and `values`, which have room for the same number of them.
///
/// # Errors
/// The kernel's; it is no hash.
pub fn look_up_many(map: &Map, cursor: &mut Cursor, keys: &mut [u64], values: &mut [u64]) -> io::Result<Looked> {
    if !map.is_hash() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let room = |words: usize, bytes: usize| (words * size_of::<u64>()).checked_div(bytes).unwrap_or(0);
    let elements = room(keys.len(), map.form.key_bytes).min(room(values.len(), map.form.value_bytes));
    let mut count = u32::try_from(elements).unwrap_or(u32::MAX);
    if count == 0 {
        return Ok(Looked::NoRoom);
    }
    let (mut from, mut to) = (cursor.0.unwrap_or_default(), 0_u32);
    let from: *mut c_void = if cursor.0.is_some() { (&raw mut from).cast() } else { std::ptr::null_mut() };
    let (keys, values) = (keys.as_mut_ptr().cast(), values.as_mut_ptr().cast());
    // SAFETY: the kernel writes at most `count` keys and values, for which there is room: a hash has one value for all CPUs,
    // and its place is four bytes. All of it lives across the call.
    let result = unsafe {
        raw::bpf_map_lookup_batch(
            map.descriptor.as_raw_fd(),
            from,
            (&raw mut to).cast(),
            keys,
            values,
            &raw mut count,
            std::ptr::null(),
        )
    };
    match done(result) {
        Ok(_) => {
            *cursor = Cursor(Some(to));
            Ok(Looked::Some(count as usize))
        }
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(Looked::Last(count as usize)),
        Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => Ok(Looked::NoRoom),
        Err(error) => Err(error),
    }
}

/// The number by which the kernel knows a program.
///
/// # Errors
/// The kernel's.
pub fn program_id(program: &OwnedFd) -> io::Result<u32> {
    let mut info = raw::bpf_prog_info::default();
    let mut bytes = length_of(&info);
    // SAFETY: the kernel writes at most `bytes` bytes into `info`; its pointers are null, so it writes nowhere else.
    done(unsafe { raw::bpf_prog_get_info_by_fd(program.as_raw_fd(), &raw mut info, &raw mut bytes) })?;
    Ok(info.id)
}

impl Mapping {
    /// What a descriptor of the kernel gives to be mapped, shared with whoever has it.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn of_descriptor(descriptor: &OwnedFd, bytes: usize) -> io::Result<Self> {
        Self::shared_unchecked(&File::from(descriptor.try_clone()?), bytes)
    }
}

/// What libbpf's functions give: a number, or an error number below zero.
pub(super) fn done(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(result) }
}

pub(super) fn length_of<T>(_info: &T) -> u32 {
    u32::try_from(size_of::<T>()).unwrap_or(0)
}

fn text(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "makes maps in the kernel"]
    fn a_value_is_as_long_as_the_kernel_writes_it() {
        let form = MapForm { key_bytes: 4, value_bytes: 12, entries_max: 1 };
        let (one, all) = (12, 16 * cpus().unwrap());
        let mut room = vec![0; all + 12];
        for (map, fitting) in [(Map::array(form).unwrap(), one), (Map::array_per_cpu(form).unwrap(), all)] {
            for map in [Map::of(map.descriptor().try_clone().unwrap()).unwrap(), map] {
                for bytes in [0, one, one + 4, all, all + 12] {
                    assert_eq!(map.look_up(0, &mut room[..bytes]).is_ok(), bytes == fitting, "{bytes} of {map:?}");
                    assert_eq!(map.update(0, &room[..bytes]).is_ok(), bytes == fitting, "{bytes} of {map:?}");
                }
            }
        }
    }

    #[test]
    #[ignore = "makes maps in the kernel"]
    fn only_of_a_hash_many_elements_are_read() {
        let form = MapForm { key_bytes: 4, value_bytes: 8, entries_max: 1 };
        let read = |map: Map| look_up_many(&map, &mut Cursor::default(), &mut [0; 8], &mut [0; 8]);
        assert_eq!(read(Map::hash(form).unwrap()).unwrap(), Looked::Last(0));
        for map in [Map::array(form).unwrap(), Map::array_per_cpu(form).unwrap()] {
            assert_eq!(read(map).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        }
    }
}
