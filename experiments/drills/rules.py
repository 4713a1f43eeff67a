"""The rules that controls like these answer to: named, not interpreted. That a control is here does not make anyone compliant.

docs/drill.md says what each is about, and which of their texts was read.
"""

COLLAR = "RTS 6 art. 15(1)(a) price collars; SEC 15c3-5(c)(1)(ii) price; FIA price tolerance"
VOLUME = "RTS 6 art. 15(1)(c) maximum order volumes; SEC 15c3-5(c)(1)(ii) size; FIA maximum order size"
MESSAGES = "RTS 6 art. 15(1)(d) maximum messages limits"
THROTTLE = "RTS 6 art. 15(3) repeated automated execution throttles"
SELF_TRADE = "RTS 6 art. 13 market manipulation watched for"
POSITION = "RTS 6 art. 15(4)-(5) risk limits; SEC 15c3-5(c)(1)(i); FIA maximum intraday position"
RISK = "RTS 6 art. 15(4)-(5) risk limits; SEC 15c3-5(c)(1)(i)"
DATA = "RTS 6 art. 14(2)(b) data lost or altered; FIA market data reasonability"
KILL = "RTS 6 art. 12 kill functionality; FIA kill switches"
STOP = "RTS 6 art. 14(2)(f), (3) shutting down in good order; FIA kill switches"
MONITOR = "RTS 6 art. 16(5) alerts and remedial action"
RESPONSE = "RTS 6 art. 16(5) remedial action, 17(1) response of post-trade controls"
OVERRIDE = "RTS 6 art. 15(3), (6) re-enabling, and release verified and authorised"
RETURN = "RTS 6 art. 15(3) re-enabling, 8 limits set before deployment"
ACCESS = "RTS 6 art. 18(2), (5) identity and access; SEC 15c3-5(c)(2)(iii) authorised persons"
CONTINUITY = "RTS 6 art. 14(2)(b), (f) failures foreseen, and shutting down"
RECORDS = "RTS 6 art. 17(3) complete records, 18(2) integrity of data; SEC 15c3-5(b), (e)"
