//! Requests to netfilter and their answers: messages and attributes, as all its subsystems write them. No sockets here.
//!
//! Reading is total: it answers for every input, never panics and allocates nothing. Layouts: `linux/netlink.h` and
//! `linux/netfilter/nfnetlink.h`. The packets of NFLOG have a reader of their own, which is made for their number:
//! `netlink`.

pub mod conversation;

pub const NLM_F_REQUEST: u16 = 0x1;
pub const NLM_F_ACK: u16 = 0x4;
/// Asks for all objects.
pub const NLM_F_DUMP: u16 = 0x300;
pub const NLM_F_CREATE: u16 = 0x400;
/// With [`NLM_F_CREATE`]: refuse what is there already.
pub const NLM_F_EXCL: u16 = 0x200;

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLA_F_NESTED: u16 = 0x8000;
/// The upper two bits of an attribute's type are flags (nested, byte order).
const NLA_TYPE_MASK: u16 = 0x3fff;

const HEADER_BYTES: usize = 16;
const GENERIC_HEADER_BYTES: usize = 4;
const ATTRIBUTE_HEADER_BYTES: usize = 4;

/// The bytes are not what the kernel writes: a length that leads out of its datagram or message, a value too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Messages and attributes start at multiples of 4. `length` is that of a slice, so this cannot overflow.
fn aligned(length: usize) -> usize {
    (length + 3) & !3
}

/// One message of a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// That of the request; 0 when nobody asked.
    pub sequence: u32,
    /// `NLM_F_...`
    pub flags: u16,
    /// The socket that it is for; of what nobody asked for, the socket that caused it, or 0.
    pub port: u32,
    /// Of what a subsystem says: the protocol family and the number of its own that it writes beside it. Otherwise 0.
    pub family: u8,
    pub resource: u16,
    /// The kernel says that the dump does not hold together: objects came or went while it was written.
    pub interrupted: bool,
    pub content: Content<'a>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// What a subsystem says: its number and the message's in `kind`, and its attributes.
    Data { kind: u16, attributes: Attributes<'a> },
    /// Ends a request; `errno` is positive, and 0 is the acknowledgement. `message` is what the kernel has to say about it.
    Answer { errno: i32, message: &'a [u8] },
    /// Ends a dump; `errno` as above.
    Done { errno: i32 },
    /// A message without meaning.
    Nothing,
}

/// The messages of one datagram, in order. Ends at the first malformed one: what is behind it cannot be found.
#[derive(Clone, Debug)]
pub struct Replies<'a> {
    rest: &'a [u8],
}

impl<'a> Replies<'a> {
    #[must_use]
    pub fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }
}

impl<'a> Iterator for Replies<'a> {
    type Item = Result<Reply<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let Some((reply, length)) = split_reply(self.rest) else {
            self.rest = &[];
            return Some(Err(Malformed));
        };
        // The last message may lack its padding.
        self.rest = self.rest.get(aligned(length)..).unwrap_or_default();
        Some(Ok(reply))
    }
}

impl std::iter::FusedIterator for Replies<'_> {}

/// The first message and its length.
fn split_reply(rest: &[u8]) -> Option<(Reply<'_>, usize)> {
    let header = rest.first_chunk::<HEADER_BYTES>()?;
    let length = usize::try_from(u32::from_ne_bytes([header[0], header[1], header[2], header[3]])).ok()?;
    let kind = u16::from_ne_bytes([header[4], header[5]]);
    let flags = u16::from_ne_bytes([header[6], header[7]]);
    let sequence = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
    let port = u32::from_ne_bytes([header[12], header[13], header[14], header[15]]);
    let body = rest.get(HEADER_BYTES..length)?;
    let (mut family, mut resource) = (0, 0);
    let content = match kind {
        NLMSG_NOOP => Content::Nothing,
        NLMSG_ERROR => Content::Answer { errno: errno(body)?, message: answer_message(body, flags) },
        // Some kernels end a dump without a number.
        NLMSG_DONE if body.is_empty() => Content::Done { errno: 0 },
        NLMSG_DONE => Content::Done { errno: errno(body)? },
        kind => {
            let &[generic_family, _version, resource_0, resource_1] = body.first_chunk::<GENERIC_HEADER_BYTES>()?;
            (family, resource) = (generic_family, u16::from_be_bytes([resource_0, resource_1]));
            Content::Data { kind, attributes: Attributes::new(body.get(GENERIC_HEADER_BYTES..)?) }
        }
    };
    let interrupted = flags & NLM_F_DUMP_INTR != 0;
    Some((Reply { sequence, flags, port, family, resource, interrupted, content }, length))
}

fn errno(body: &[u8]) -> Option<i32> {
    i32::from_ne_bytes(*body.first_chunk()?).checked_abs()
}

/// The text of an extended acknowledgement: behind the header of the request, or behind the whole request if it was sent
/// back.
fn answer_message(body: &[u8], flags: u16) -> &[u8] {
    if flags & NLM_F_ACK_TLVS == 0 {
        return &[];
    }
    let request = body.get(size_of::<i32>()..).unwrap_or_default();
    let sent_back = match request.first_chunk() {
        Some(length) if flags & NLM_F_CAPPED == 0 => usize::try_from(u32::from_ne_bytes(*length)).unwrap_or(usize::MAX),
        _ => HEADER_BYTES,
    };
    let attributes = request.get(sent_back.checked_next_multiple_of(4).unwrap_or(usize::MAX)..).unwrap_or_default();
    Attributes::new(attributes)
        .map_while(Result::ok)
        .find(|attribute| attribute.kind == NLMSGERR_ATTR_MSG)
        .map_or(&[], |attribute| attribute.text())
}

/// One attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Without its flags.
    pub kind: u16,
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// Big-endian, as netfilter writes numbers. A longer value is from a newer kernel and starts with what is known.
    ///
    /// # Errors
    /// The value is too short.
    pub fn number_u32(&self) -> Result<u32, Malformed> {
        self.value.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)).ok_or(Malformed)
    }

    /// # Errors
    /// The value is too short.
    pub fn number_u16(&self) -> Result<u16, Malformed> {
        self.value.first_chunk().map(|bytes| u16::from_be_bytes(*bytes)).ok_or(Malformed)
    }

    /// # Errors
    /// The value is empty.
    pub fn number_u8(&self) -> Result<u8, Malformed> {
        self.value.first().copied().ok_or(Malformed)
    }

    /// # Errors
    /// The value is too short.
    pub fn number_u64(&self) -> Result<u64, Malformed> {
        self.value.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)).ok_or(Malformed)
    }

    /// Up to the closing NUL, which may be missing.
    #[must_use]
    pub fn text(&self) -> &'a [u8] {
        self.value.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    /// The attributes within this one.
    #[must_use]
    pub fn nested(&self) -> Attributes<'a> {
        Attributes::new(self.value)
    }
}

/// Attributes in their order. Ends at the first malformed one; less than a header at the end is padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let &[length_0, length_1, kind_0, kind_1] = self.rest.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([length_0, length_1]));
        let kind = u16::from_ne_bytes([kind_0, kind_1]) & NLA_TYPE_MASK;
        let value = self.rest.get(ATTRIBUTE_HEADER_BYTES..length);
        // The last attribute may lack its padding.
        self.rest = value.and_then(|_| self.rest.get(aligned(length)..)).unwrap_or_default();
        Some(value.map(|value| Attribute { kind, value }).ok_or(Malformed))
    }
}

/// A request to one subsystem, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// `kind` is the subsystem's number times 256 plus the message's; `family` is 0 where it is of no consequence.
    #[must_use]
    pub fn new(kind: u16, flags: u16, family: u8) -> Self {
        let mut bytes = vec![0; HEADER_BYTES];
        write(&mut bytes, 4, &kind.to_ne_bytes());
        write(&mut bytes, 6, &(NLM_F_REQUEST | flags).to_ne_bytes());
        bytes.extend([family, 0, 0, 0]); // NFNETLINK_V0, no resource
        Self { bytes }
    }

    /// Says that the request is written for version 1 of the header, where a subsystem tells versions apart.
    #[must_use]
    pub fn with_version_1(mut self) -> Self {
        write(&mut self.bytes, HEADER_BYTES + 1, &[1]);
        self
    }

    /// Appends an attribute. A value longer than the 65,531 bytes that fit is cut.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let value = value.get(..usize::from(u16::MAX) - ATTRIBUTE_HEADER_BYTES).unwrap_or(value);
        let length = u16::try_from(value.len() + ATTRIBUTE_HEADER_BYTES).unwrap_or(u16::MAX);
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// Appends an attribute made of numbers (u32).
    #[must_use]
    pub fn with_nested(self, kind: u16, numbers: &[(u16, u32)]) -> Self {
        self.with_inner(kind, |inner| {
            numbers.iter().fold(inner, |inner, &(kind, value)| inner.with(kind, &value.to_be_bytes()))
        })
    }

    /// Appends an attribute made of those that `write` appends to what it is given.
    #[must_use]
    pub fn with_inner(self, kind: u16, write: impl FnOnce(Self) -> Self) -> Self {
        let inner = write(Self { bytes: Vec::new() });
        self.with(kind | NLA_F_NESTED, &inner.bytes)
    }

    /// The bytes to send, numbered.
    #[must_use]
    pub fn numbered(&mut self, sequence: u32) -> &[u8] {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        write(&mut self.bytes, 0, &length.to_ne_bytes());
        write(&mut self.bytes, 8, &sequence.to_ne_bytes());
        &self.bytes
    }
}

fn write(bytes: &mut [u8], offset: usize, value: &[u8]) {
    for (target, byte) in bytes.iter_mut().skip(offset).zip(value) {
        *target = *byte;
    }
}
