//! The chunked coding: what is decoded, what is refused, what is written.

use lb::http1::{
    CHUNK_END, CHUNK_PREFIX_BYTES_MAX, ChunkRefusal as Refusal, ChunkedDecoder, FieldFault as Fault, LengthBody,
    chunk_prefix, write_last_chunk,
};

/// Decodes `input` fed in pieces of at most `piece` bytes: the data, the decoder, and what is left over.
fn decode(input: &[u8], piece: usize) -> Result<(Vec<u8>, ChunkedDecoder, usize), Refusal> {
    let mut decoder = ChunkedDecoder::new();
    let (mut data, mut at) = (Vec::new(), 0);
    while at < input.len() && !decoder.is_done() {
        let end = input.len().min(at + piece);
        let step = decoder.decode(&input[at..end])?;
        assert!(step.consumed > 0, "every step gets on");
        data.extend_from_slice(&input[at..end][step.data]);
        at += step.consumed;
    }
    Ok((data, decoder, input.len() - at))
}

fn refusal(input: &[u8]) -> Refusal {
    let all = decode(input, usize::MAX - input.len()).map(|(data, ..)| data).expect_err("must be refused");
    assert_eq!(decode(input, 1).map(|(data, ..)| data), Err(all), "byte by byte");
    all
}

#[test]
fn chunks_are_decoded_whatever_the_pieces() {
    let body = b"5\r\nhello\r\n1;a=\"b\";c\r\n \r\n00B\r\nwide world!\r\n0\r\n\r\nGET /next";
    for piece in 1..=body.len() {
        let (data, decoder, left) = decode(body, piece).expect("a valid body");
        assert_eq!((data.as_slice(), left), (&b"hello wide world!"[..], "GET /next".len()), "pieces of {piece}");
        assert!(decoder.is_done() && decoder.trailers().is_empty());
    }
}

#[test]
fn a_short_body_takes_one_step() {
    let mut decoder = ChunkedDecoder::new();
    let step = decoder.decode(b"2\r\nok\r\n0\r\n\r\nmore").expect("valid");
    assert_eq!((step.consumed, step.data, decoder.is_done()), (12, 3..5, true));
    assert_eq!(decoder.decode(b"more").expect("nothing").consumed, 0, "what follows is not the body's");
}

#[test]
fn sizes_are_parsed_strictly() {
    for size in [
        "",
        "g",
        "0x5",
        "+5",
        "-5",
        " 5",
        "5 ",
        "5\t",
        "5,5",
        "\u{b}5",
        "00000000000000005",
        "8000000000000000",
        "ffffffffffffffff",
        "10000000000000000",
        "5 ;x",
    ] {
        assert_eq!(refusal(format!("{size}\r\nhello\r\n0\r\n\r\n").as_bytes()), Refusal::Size, "{size:?}");
    }
    assert_eq!(refusal(b";x=y\r\n"), Refusal::Size);
    assert_eq!(refusal(b"\n"), Refusal::Size);
    assert_eq!(refusal(b"5\nhello\r\n0\r\n\r\n"), Refusal::Size, "bare LF");
    assert_eq!(refusal(b"5\rhello"), Refusal::LineEnd, "bare CR");
    assert_eq!(refusal(b"5\0\r\n"), Refusal::Size);
    for size in ["7fffffffffffffff", "7FFFFFFFFFFFFFFF", "0000000000000005"] {
        assert!(decode(format!("{size}\r\nhello").as_bytes(), 64).is_ok(), "{size:?}");
    }
}

#[test]
fn chunks_end_where_their_size_says() {
    assert_eq!(refusal(b"5\r\nhello!\r\n0\r\n\r\n"), Refusal::LineEnd);
    assert_eq!(refusal(b"6\r\nhello\r\n0\r\n\r\n"), Refusal::LineEnd);
    assert_eq!(refusal(b"5\r\nhello\n0\r\n\r\n"), Refusal::LineEnd);
    assert_eq!(refusal(b"5\r\nhello\rx"), Refusal::LineEnd);
    assert_eq!(refusal(b"0\r\n\rx"), Refusal::LineEnd);
    let (_, decoder, _) = decode(b"5\r\nhello\r\n0\r\n", 64).expect("no fault so far");
    assert!(!decoder.is_done(), "the end is the last empty line");
}

#[test]
fn extensions_are_dropped_and_bounded() {
    assert_eq!(refusal(b"5;a\nb\r\nhello"), Refusal::Extension);
    assert_eq!(refusal(b"5;a\0b\r\nhello"), Refusal::Extension);
    assert_eq!(refusal(b"5;a\rb"), Refusal::LineEnd);
    let mut many = format!("1;{}\r\nx\r\n", "e".repeat(1000)).repeat(16);
    assert!(decode(many.as_bytes(), 4096).is_ok());
    many.push_str(&format!("1;{}\r\n", "e".repeat(1000)));
    assert_eq!(refusal(many.as_bytes()), Refusal::Extension, "over all chunks of a body");
}

#[test]
fn trailers_pass_in_our_form_unless_they_mean_something_to_a_head() {
    let body = b"0\r\nX-Sum:abc \r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: evil\r\nConnection: x\r\n\
        x-forwarded-for: 1\r\nX_Forwarded_For: 1\r\nCookie: a\r\nSet-Cookie: a\r\nAuthorization: a\r\nContent-Type: a\r\n\
        If-Match: a\r\nTrailer: a\r\nTE: a\r\nUpgrade: a\r\nServer-Timing: total;dur=1\r\n\r\nrest";
    for piece in [1, 2, 7, body.len()] {
        let (data, decoder, left) = decode(body, piece).expect("valid trailers");
        assert_eq!((data.len(), left), (0, 4));
        let kept = "X-Sum: abc\r\nServer-Timing: total;dur=1\r\n";
        assert_eq!(String::from_utf8_lossy(decoder.trailers()), kept, "pieces of {piece}");
    }
}

#[test]
fn hostile_trailers_are_refused() {
    assert_eq!(refusal(b"0\r\n\n"), Fault::LineEnd.into());
    assert_eq!(refusal(b"0\r\nX: 1\n\r\n"), Fault::LineEnd.into());
    assert_eq!(refusal(b"0\r\nX: 1\rY: 2\r\n\r\n"), Fault::LineEnd.into());
    assert_eq!(refusal(b"0\r\nX : 1\r\n\r\n"), Fault::Name.into());
    assert_eq!(refusal(b"0\r\n X: 1\r\n\r\n"), Fault::Name.into());
    assert_eq!(refusal(b"0\r\nX: 1\r\n folded\r\n\r\n"), Fault::Name.into());
    assert_eq!(refusal(b"0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), Fault::Name.into());
    assert_eq!(refusal(b"0\r\nX: \0\r\n\r\n"), Fault::Value.into());
    let large = format!("0\r\nX: {}\r\n\r\n", "y".repeat(17_000));
    assert_eq!(refusal(large.as_bytes()), Fault::TooLarge.into());
    let many = format!("0\r\n{}\r\n", "x: y\r\n".repeat(65));
    assert_eq!(refusal(many.as_bytes()), Fault::TooMany.into());
}

#[test]
fn chunks_are_framed() {
    let mut line = [0; CHUNK_PREFIX_BYTES_MAX];
    assert_eq!(chunk_prefix(1, &mut line), b"1\r\n");
    assert_eq!(chunk_prefix(0xabc0, &mut line), b"abc0\r\n");
    assert_eq!(chunk_prefix(usize::MAX, &mut line), b"ffffffffffffffff\r\n");
    let mut out = Vec::new();
    out.extend_from_slice(chunk_prefix(5, &mut line));
    out.extend_from_slice(b"hello");
    out.extend_from_slice(CHUNK_END);
    write_last_chunk(&mut out, b"X-Sum: 1\r\n");
    assert_eq!(out, b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n");
}

#[test]
fn a_body_of_known_length_counts_down() {
    let mut body = LengthBody::new(10);
    assert_eq!((body.take(4), body.remaining(), body.is_done()), (4, 6, false));
    assert_eq!((body.take(100), body.remaining(), body.is_done()), (6, 0, true));
    assert_eq!(body.take(100), 0, "the rest is what follows");
    assert!(LengthBody::new(0).is_done());
    assert_eq!(LengthBody::new(u64::MAX).take(usize::MAX), usize::MAX);
}
