#!/bin/sh
# The gateway is ready when it serves its configuration. The request goes to a port that only the container can reach,
# with the client that the image has.
if command -v wget >/dev/null; then
  exec wget -q -T 3 -O /dev/null http://127.0.0.1:2020/
fi
exec bash -c 'exec 3<>/dev/tcp/127.0.0.1/2020 && printf "GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n" >&3 && grep -q "^HTTP/1.. 200" <&3'
