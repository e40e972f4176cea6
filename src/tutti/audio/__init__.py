"""Samples: reading recordings of strangers, bringing them to one rate, and the front ends of the networks.

    reading     open_stream and read_audio: any source → float32 samples
    links       fetch_link: an address on the web → a file; wire keeps it out of private networks, video_sites is yt-dlp
    features    samples → log-mel frames, the exact front ends as named configurations

How a recording is read (each file knows only those below it):

    reading ── sources          what was given → an open file, or an array
       └────── child            starts, feeds, times and kills the decoder process
                 ┆ pipe: protocol
               decoder          the process that touches untrusted bytes
                 ├── sniffing   container by content, never by suffix
                 └── resampling sanitise → mono → soxr
    limits      what is refused, everywhere

Nothing is imported here, so that the decoder process starts fast.
"""
