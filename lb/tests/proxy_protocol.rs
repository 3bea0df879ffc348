//! The PROXY protocol's codec: what it writes it reads, whatever comes in pieces, and nothing hostile gets by.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, and says what it saw")]

use std::net::SocketAddr;

use lb::proxy_protocol::{
    Addresses, HEADER_BYTES_MAX, Header, LINE_BYTES_MAX, Parsed, Refusal, kind, parse, write_v1, write_v2,
};
use proptest::prelude::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn addresses(source: &str, destination: &str) -> Addresses {
    Addresses { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

/// A header of version 2 with these bytes behind the signature, its length filled in.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

fn complete(bytes: &[u8]) -> (Header, usize) {
    match parse(bytes) {
        Ok(Parsed::Complete(header, length)) => (header, length),
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(bytes)),
    }
}

const V4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 7, 0x30, 0x39, 0x01, 0xbb];

#[test]
fn lines_of_the_specification_are_read() {
    let cases = [
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            "255.255.255.255:65535",
            "255.255.255.255:65535",
        ),
        ("PROXY TCP4 192.0.2.1 198.51.100.7 0 443\r\n", "192.0.2.1:0", "198.51.100.7:443"),
        ("PROXY TCP6 2001:db8::1 ::1 56324 443\r\n", "[2001:db8::1]:56324", "[::1]:443"),
        ("PROXY TCP6 2001:DB8::AbCd ::ffff:192.0.2.1 1 2\r\n", "[2001:db8::abcd]:1", "[::ffff:192.0.2.1]:2"),
    ];
    for (line, source, destination) in cases {
        let (header, length) = complete(format!("{line}GET / HTTP/1.1\r\n").as_bytes());
        assert_eq!((header.addresses, length), (Some(addresses(source, destination)), line.len()), "{line:?}");
    }
    let long = format!("PROXY UNKNOWN {} {} 65535 65535\r\n", "ffff:".repeat(7) + "ffff", "ffff:".repeat(7) + "ffff");
    assert_eq!(long.len(), LINE_BYTES_MAX);
    for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN \r\n", "PROXY UNKNOWN what it may be \0\r\n", &long] {
        assert_eq!(complete(line.as_bytes()), (Header::default(), line.len()), "{line:?}");
    }
}

#[test]
fn lines_that_are_not_exactly_so_are_refused() {
    let rest = "192.0.2.1 198.51.100.7 1 2";
    let long = "1".repeat(LINE_BYTES_MAX);
    let cases: Vec<(String, Refusal)> = [
        // Line ends.
        (format!("TCP4 {rest}\n"), Refusal::LineEnd),
        (format!("TCP4 {rest}\r\r\n"), Refusal::LineEnd),
        (format!("TCP4 {rest}\r \n"), Refusal::LineEnd),
        ("TCP4 192.0.2.1\n198.51.100.7 1 2\r\n".to_owned(), Refusal::LineEnd),
        ("\r\n".to_owned(), Refusal::Words),
        // Lengths.
        (format!("UNKNOWN {long}\r\n"), Refusal::TooLong),
        (format!("TCP4 {rest}{long}\r\n"), Refusal::TooLong),
        (format!("UNKNOWN {}\r\n", "x".repeat(LINE_BYTES_MAX - 15)), Refusal::TooLong),
        // Words.
        (format!("TCP4  {rest}\r\n"), Refusal::Words),
        (format!("TCP4 {rest} \r\n"), Refusal::Words),
        (format!("TCP4 {rest} 3\r\n"), Refusal::Words),
        (format!("TCP4\t{rest}\r\n"), Refusal::Words),
        ("TCP4 192.0.2.1 198.51.100.7 1\r\n".to_owned(), Refusal::Words),
        ("TCP4\r\n".to_owned(), Refusal::Words),
        (format!(" TCP4 {rest}\r\n"), Refusal::Words),
        ("UNKNOWNS\r\n".to_owned(), Refusal::Words),
        // Families.
        (format!("tcp4 {rest}\r\n"), Refusal::Family),
        (format!("UDP4 {rest}\r\n"), Refusal::Family),
        (format!("TCP5 {rest}\r\n"), Refusal::Family),
        (format!("UNKNOWNS {rest}\r\n"), Refusal::Family),
        (format!("unknown {rest}\r\n"), Refusal::Family),
        // Addresses.
        (format!("TCP6 {rest}\r\n"), Refusal::Address),
        ("TCP4 ::1 ::2 1 2\r\n".to_owned(), Refusal::Address),
        ("TCP4 192.0.2.256 198.51.100.7 1 2\r\n".to_owned(), Refusal::Address),
        ("TCP4 192.0.2 198.51.100.7 1 2\r\n".to_owned(), Refusal::Address),
        ("TCP4 192.0.2.01 198.51.100.7 1 2\r\n".to_owned(), Refusal::Address),
        ("TCP4 0xc0.0.2.1 198.51.100.7 1 2\r\n".to_owned(), Refusal::Address),
        ("TCP4 3221225985 198.51.100.7 1 2\r\n".to_owned(), Refusal::Address),
        ("TCP4 localhost 198.51.100.7 1 2\r\n".to_owned(), Refusal::Address),
        ("TCP6 fe80::1%eth0 ::1 1 2\r\n".to_owned(), Refusal::Address),
        ("TCP6 [::1] ::1 1 2\r\n".to_owned(), Refusal::Address),
        ("TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2\r\n".to_owned(), Refusal::Address),
        // Ports.
        ("TCP4 192.0.2.1 198.51.100.7 65536 2\r\n".to_owned(), Refusal::Port),
        ("TCP4 192.0.2.1 198.51.100.7 1 -2\r\n".to_owned(), Refusal::Port),
        ("TCP4 192.0.2.1 198.51.100.7 +1 2\r\n".to_owned(), Refusal::Port),
        ("TCP4 192.0.2.1 198.51.100.7 01 2\r\n".to_owned(), Refusal::Port),
        ("TCP4 192.0.2.1 198.51.100.7 00 2\r\n".to_owned(), Refusal::Port),
        ("TCP4 192.0.2.1 198.51.100.7 1 2\0\r\n".to_owned(), Refusal::Port),
        ("TCP4 192.0.2.1 198.51.100.7 0x1 2\r\n".to_owned(), Refusal::Port),
        ("TCP4 192.0.2.1 198.51.100.7 ２ 2\r\n".to_owned(), Refusal::Port),
    ]
    .into();
    for (line, refusal) in cases {
        assert_eq!(parse(format!("PROXY {line}").as_bytes()), Err(refusal), "{line:?}");
    }
    assert_eq!(parse(b"PROXY TCP4 \xff 1.1.1.1 1 2\r\n"), Err(Refusal::Words));
}

#[test]
fn bytes_that_are_no_header_are_foreign() {
    for bytes in
        ["GET / HTTP/1.1\r\n", "PROPFIND / HTTP/1.1", "PROXY\tTCP4", "proxy TCP4", "\r\n\r\nGET", "\n", "\0", "\x16"]
    {
        assert_eq!(parse(bytes.as_bytes()), Ok(Parsed::Foreign), "{bytes:?}");
    }
}

#[test]
fn binary_headers_are_read() {
    let (header, length) = complete(&[&v2(0x21, 0x11, V4)[..], b"more"].concat());
    assert_eq!((header.addresses, length), (Some(addresses("192.0.2.1:12345", "198.51.100.7:443")), 28));
    let v6: Vec<u8> =
        [&[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &[0; 15], &[1, 0, 80, 1, 0xbb]].concat();
    let (header, length) = complete(&v2(0x21, 0x21, &v6));
    assert_eq!((header.addresses, length), (Some(addresses("[2001:db8::1]:80", "[::1]:443")), 52));
    // A health check of the sender's, whatever else it says; a socket of the file system; an unknown one.
    for (command, family, rest) in
        [(0x20, 0x00, &[][..]), (0x20, 0x11, V4), (0x20, 0xff, b"anything"), (0x21, 0x00, &[]), (0x21, 0x31, &[7; 216])]
    {
        let header = v2(command, family, rest);
        assert_eq!(complete(&header), (Header::default(), header.len()), "{command:x} {family:x}");
    }
    let (header, _) =
        complete(&v2(0x21, 0x11, &[V4, &[1, 0, 2, b'h', b'2', 0xe0, 0, 1, 9, 5, 0, 3, 1, 2, 3]].concat()));
    assert_eq!(header.tlvs.get(kind::ALPN), Some(&b"h2"[..]));
    assert_eq!(header.tlvs.get(kind::UNIQUE_ID), Some(&[1, 2, 3][..]));
    assert_eq!(header.tlvs.iter().map(|(kind, _)| kind).collect::<Vec<_>>(), [1, 0xe0, 5]);
}

#[test]
fn binary_headers_that_are_not_exactly_so_are_refused() {
    let with = |tlvs: &[u8]| v2(0x21, 0x11, &[V4, tlvs].concat());
    let cases: Vec<(&str, Vec<u8>, Refusal)> = vec![
        ("version 1", v2(0x11, 0x11, V4), Refusal::Version),
        ("version 3", v2(0x31, 0x11, V4), Refusal::Version),
        ("command 2", v2(0x22, 0x11, V4), Refusal::Command),
        ("command 15", v2(0x2f, 0x11, V4), Refusal::Command),
        ("datagrams over IPv4", v2(0x21, 0x12, V4), Refusal::Family),
        ("datagrams over IPv6", v2(0x21, 0x22, &[0; 36]), Refusal::Family),
        ("datagrams of the file system", v2(0x21, 0x32, &[0; 216]), Refusal::Family),
        ("an unassigned family", v2(0x21, 0x41, V4), Refusal::Family),
        ("an unassigned transport", v2(0x21, 0x13, V4), Refusal::Family),
        ("half a family", v2(0x21, 0x10, V4), Refusal::Family),
        ("half a transport", v2(0x21, 0x01, V4), Refusal::Family),
        ("no addresses", v2(0x21, 0x11, &[]), Refusal::Length),
        ("a byte too few for IPv4", v2(0x21, 0x11, &V4[1..]), Refusal::Length),
        ("IPv6 with addresses of IPv4", v2(0x21, 0x21, V4), Refusal::Length),
        ("a byte too few for IPv6", v2(0x21, 0x21, &[0; 35]), Refusal::Length),
        ("a byte too few for a path", v2(0x21, 0x31, &[0; 215]), Refusal::Length),
        ("longer than anybody needs", v2(0x21, 0x11, &[0; HEADER_BYTES_MAX - 15]), Refusal::TooLong),
        ("the longest length", [SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat(), Refusal::TooLong),
        ("the longest length of LOCAL", [SIGNATURE, &[0x20, 0, 0xff, 0xff]].concat(), Refusal::TooLong),
        ("a type alone", with(&[1]), Refusal::Tlv),
        ("a type and half a length", with(&[1, 0]), Refusal::Tlv),
        ("a length beyond the end", with(&[1, 0, 3, b'h', b'2']), Refusal::Tlv),
        ("the longest value", with(&[1, 0xff, 0xff, b'h', b'2']), Refusal::Tlv),
        ("a byte after the last", with(&[1, 0, 2, b'h', b'2', 0]), Refusal::Tlv),
        ("two protocols", with(&[1, 0, 2, b'h', b'2', 1, 0, 2, b'h', b'3']), Refusal::Tlv),
        ("two names", with(&[2, 0, 1, b'a', 2, 0, 1, b'b']), Refusal::Tlv),
        ("an empty name", with(&[2, 0, 0]), Refusal::Tlv),
        ("an empty id", with(&[5, 0, 0]), Refusal::Tlv),
        ("an id of 129 bytes", with(&[&[5, 0, 129][..], &[b'x'; 129]].concat()), Refusal::Tlv),
        ("a short checksum", with(&[3, 0, 3, 1, 2, 3]), Refusal::Tlv),
        ("a long checksum", with(&[3, 0, 5, 1, 2, 3, 4, 5]), Refusal::Tlv),
        ("a checksum of zeros", with(&[3, 0, 4, 0, 0, 0, 0]), Refusal::Checksum),
        ("the checksum of LOCAL", v2(0x20, 0x11, &[V4, &[3, 0, 4, 1, 2, 3, 4]].concat()), Refusal::Checksum),
        ("TLVs of an unknown family", v2(0x21, 0x00, V4), Refusal::Tlv),
    ];
    for (what, bytes, refusal) in cases {
        assert_eq!(parse(&bytes), Err(refusal), "{what}");
    }
}

/// As another implementation computes it over the same bytes.
#[test]
fn the_checksum_is_castagnoli() {
    let mut header = Vec::new();
    write_v2(&mut header, None, []);
    assert_eq!(&header[..16], &[SIGNATURE, &[0x20, 0, 0, 7]].concat());
    assert_eq!(&header[16..], &[3, 0, 4, 0xa9, 0xb8, 0x7e, 0x8f]);
    assert_eq!(complete(&header), (Header::default(), 23));
    let mut wrong = header;
    wrong[22] ^= 1;
    assert_eq!(parse(&wrong), Err(Refusal::Checksum));
}

#[test]
fn addresses_of_two_families_become_one() {
    let mixed = addresses("192.0.2.1:1", "[2001:db8::1]:2");
    let mapped = addresses("[::ffff:192.0.2.1]:1", "[2001:db8::1]:2");
    let (mut line, mut header) = (Vec::new(), Vec::new());
    write_v1(&mut line, Some(&mixed));
    assert_eq!(String::from_utf8_lossy(&line), "PROXY TCP6 ::ffff:c000:201 2001:db8::1 1 2\r\n");
    write_v2(&mut header, Some(&mixed), []);
    assert_eq!(complete(&line).0.addresses, Some(mapped));
    assert_eq!(complete(&header).0.addresses, Some(mapped));
    line.clear();
    write_v1(&mut line, Some(&addresses("[::ffff:192.0.2.1]:1", "192.0.2.2:2")));
    assert_eq!(String::from_utf8_lossy(&line), "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
}

#[test]
fn what_would_be_too_long_to_read_is_left_away() {
    let (long, short) = (vec![7; HEADER_BYTES_MAX - 30], [8; 4]);
    let mut header = Vec::new();
    write_v2(&mut header, Some(&addresses("192.0.2.1:1", "192.0.2.2:2")), [(0xe0, &long[..]), (0xe1, &short)]);
    let (read, length) = complete(&header);
    assert_eq!(length, header.len());
    assert_eq!((read.tlvs.get(0xe0), read.tlvs.get(0xe1)), (None, Some(&short[..])));
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    let v4 = any::<([u8; 4], u16)>().prop_map(SocketAddr::from);
    let v6 = any::<([u16; 8], u16)>().prop_map(SocketAddr::from);
    prop_oneof![v4, v6]
}

fn any_addresses() -> impl Strategy<Value = Addresses> {
    (any_address(), any_address()).prop_map(|(source, destination)| Addresses { source, destination })
}

fn any_tlvs() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    let values = proptest::collection::vec(any::<u8>(), 1..40);
    proptest::collection::btree_map(prop_oneof![Just(1), Just(2), Just(5), Just(0x20), 0xe0_u8..0xef], values, 0..5)
        .prop_map(|tlvs| tlvs.into_iter().collect())
}

/// The canonical form, in which addresses come back.
fn same(one: SocketAddr, other: SocketAddr) -> bool {
    (one.ip().to_canonical(), one.port()) == (other.ip().to_canonical(), other.port())
}

fn written(addresses: &Addresses, tlvs: &[(u8, Vec<u8>)]) -> [Vec<u8>; 2] {
    let (mut one, mut two) = (Vec::new(), Vec::new());
    write_v1(&mut one, Some(addresses));
    write_v2(&mut two, Some(addresses), tlvs.iter().map(|(kind, value)| (*kind, &value[..])));
    [one, two]
}

proptest! {
    #[test]
    fn what_is_written_is_read(ends in any_addresses(), tlvs in any_tlvs(), rest in any::<[u8; 3]>()) {
        for header in written(&ends, &tlvs) {
            let (read, length) = complete(&[&header[..], &rest].concat());
            let read_ends = read.addresses.unwrap();
            prop_assert_eq!(length, header.len());
            prop_assert!(same(read_ends.source, ends.source) && same(read_ends.destination, ends.destination));
            if header[0] == b'\r' {
                let carried: Vec<_> = read.tlvs.carried().map(|(kind, value)| (kind, value.to_vec())).collect();
                prop_assert_eq!(&carried, &tlvs);
            }
        }
    }

    #[test]
    fn a_header_in_pieces_is_waited_for(ends in any_addresses(), tlvs in any_tlvs()) {
        for header in written(&ends, &tlvs) {
            for length in 0..header.len() {
                prop_assert_eq!(parse(&header[..length]), Ok(Parsed::Partial), "{} of {}", length, header.len());
            }
        }
    }

    #[test]
    fn anything_at_all_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300), which in 0_usize..3) {
        let begin = [&b""[..], b"PROXY ", SIGNATURE][which];
        if let Ok(Parsed::Complete(_, length)) = parse(&[begin, &bytes[..]].concat()) {
            prop_assert!(length <= begin.len() + bytes.len());
        }
    }

    /// A wrong byte shows in the checksum: it may end the header's being one, never give somebody another's address.
    #[test]
    fn a_wrong_byte_changes_no_address(
        ends in any_addresses(),
        tlvs in any_tlvs(),
        at in any::<proptest::sample::Index>(),
        wrong in 1_u8..=255,
    ) {
        let [_, mut header] = written(&ends, &tlvs);
        let (right, _) = complete(&header);
        let at = at.index(header.len());
        header[at] ^= wrong;
        if let Ok(Parsed::Complete(read, _)) = parse(&header) {
            prop_assert!(read.addresses.is_none() || read.addresses == right.addresses, "{:?}", read);
        }
    }
}
