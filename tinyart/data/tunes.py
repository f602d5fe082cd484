"""Traditional tunes, in the public domain, so that music can be learnt where no data is."""

from tinyart.data.abc_notation import Tune, parse_abc


def tunes() -> list[Tune]:
    """Forty melodies: songs for children, ballads, carols, jigs and reels."""
    return [parse_abc(source) for source in TUNES.strip().split("\n\n")]


TUNES = """
X:1
T:Frère Jacques
M:4/4
L:1/4
Q:1/4=120
K:C
|:CDEC:|:EFG2:|:G/A/G/F/EC:|:CG,C2:|

X:2
T:Ah! vous dirai-je, maman
M:4/4
L:1/4
Q:1/4=120
K:C
CCGG|AAG2|FFEE|DDC2|:GGFF|EED2:|CCGG|AAG2|FFEE|DDC2|]

X:3
T:Greensleeves
M:6/8
L:1/8
Q:3/8=66
K:Ador
|:A|c2d e>fe|d2B G>AB|c2A A>^GA|B2^G E2A|c2d e>fe|d2B G>AB|c>BA ^G>^F^G|1A3 A2:|2A3 A3|
|:g3 g>fe|d2B G>AB|c2A A>^GA|B2^G E3|g3 g>fe|d2B G>AB|c>BA ^G>^F^G|1A3 A3:|2A3 A2|]

X:4
T:Scarborough Fair
M:3/4
L:1/4
Q:1/4=120
K:Ddor
D2D|A2A|E>FE|D3|zAc|d2c|ABG|A3-|A2d|d2c|A2A|GFE|C3|D2A|G2F|EDC|D3-|D3|]

X:5
T:Auld Lang Syne
M:4/4
L:1/8
Q:1/4=100
K:F
C2|F3F F2A2|G3F G2A2|F3F A2c2|d6 d2|c3A A2F2|G3F G2A2|F3D D2C2|F6
d2|c3A A2F2|G3F G2d2|c3A A2c2|d6 d2|c3A A2F2|G3F G2A2|F3D D2C2|F6|]

X:6
T:London Bridge
M:2/4
L:1/8
Q:1/4=100
K:D
A>B AG|FG A2|EF G2|FG A2|A>B AG|FG A2|E2 A2|FD3|]

X:7
T:Row, Row, Row Your Boat
M:6/8
L:1/8
Q:3/8=100
K:C
C3 C3|C2D E3|E2D E2F|G6|ccc GGG|EEE CCC|G2F E2D|C6|]

X:8
T:Mary Had a Little Lamb
M:4/4
L:1/4
Q:1/4=120
K:C
EDCD|EEE2|DDD2|EGG2|EDCD|EEEE|DDED|C4|]

X:9
T:Yankee Doodle
M:2/4
L:1/8
Q:1/4=108
K:G
GGAB|GBAD|GGAB|G2F2|GGAB|cBAG|FDEF|G2G2|E>F ED|EFG2|D>E DC|B,2D2|E>F ED|EFGE|DGFA|G2G2|]

X:10
T:Amazing Grace
M:3/4
L:1/4
Q:1/4=80
K:G
D|G2B/G/|B2A|G2E|D2D|G2B/G/|B2A|d3-|d2B|d>Bd/B/|G2D|E>GG/E/|D2D|G2B/G/|B2A|G3-|G2|]

X:11
T:Londonderry Air
M:4/4
L:1/8
Q:1/4=72
K:C
B,CD|E3D EAGE|DCA,3 CEF|G3A GECE|D5 B,CD|E3D EAGE|DCA,3 B,CD|E3F EDCD|C5
GAB|c3B BAGA|GEC3 GAB|c3B BAGE|D5 GGG|e3d dcAc|GEC3 B,CD|EAGE DCA,B,|C5|]

X:12
T:Drunken Sailor
M:2/4
L:1/8
Q:1/4=112
K:Ddor
AA/A/ AA/A/|ADFA|GG/G/ GG/G/|GCEG|AA/A/ AA/A/|ABcd|cAGE|D2D2|
A2AA|ADFA|G2GG|GCEG|A2AA|ABcd|cAGE|D2D2|]

X:13
T:When the Saints Go Marching In
M:4/4
L:1/4
Q:1/4=144
K:C
CEF|G4-|GCEF|G4-|GCEF|G2E2|C2E2|D4-|DEED|C3C|E2G2|GF3-|F2EF|G2E2|C2D2|C4-|C|]

X:14
T:The Irish Washerwoman
M:6/8
L:1/8
Q:3/8=116
K:G
|:dc|BGG DGG|BGB dcB|cAA EAA|cAc edc|BGG DGG|BGB dcB|cBc Adc|BGG G:|
|:Bd|gdg gdg|gdg bag|fdf fdf|fdf agf|egg dgg|cgg Bgg|cBc Adc|BGG G:|

X:15
T:The Kesh
M:6/8
L:1/8
Q:3/8=112
K:G
|:G3 GAB|A3 ABd|edd gdd|edB dBA|G3 GAB|A3 ABd|edd gdB|AGF G3:|
|:BAB dBd|ege dBG|BAB dBG|ABA AGA|BAB dBd|ege dBd|gfg aga|bgg g3:|

X:16
T:Cooley's
M:4/4
L:1/8
Q:1/2=100
K:Edor
|:D2|EBBA B2EB|B2AB dBAG|FDAD BDAD|FDAD dAFD|EBBA B2EB|B2AB defg|afec dBAF|DEFD E2:|
|:gf|eBB2 efge|eBB2 gedB|A2FA DAFA|A2FA defg|eBB2 eBgB|eBB2 defg|afec dBAF|DEFD E2:|

X:17
T:The Swallowtail
M:6/8
L:1/8
Q:3/8=112
K:Edor
|:F|GEE BEE|GEE BAG|FDD ADD|dcd AGF|GEE BEE|GEE B2c|dcd AGF|GEE E2:|
|:B|Bcd e2f|e2f edB|Bcd e2f|edB d3|Bcd e2f|e2f edB|dcd AGF|GEE E2:|

X:18
T:Drowsy Maggie
M:4/4
L:1/8
Q:1/2=100
K:Edor
|:E2BE dEBE|E2BE AFDF|E2BE dEBE|BABc dAFD:|:d2fd c2ec|defg afge|d2fd c2ec|BABc dAFA:|

X:19
T:Skip to My Lou
M:2/4
L:1/8
Q:1/4=108
K:C
EE CC/C/|EEG2|DD B,B,/B,/|DDF2|EE CC/C/|EEG2|DE/F/ ED|C2C2|]

X:20
T:Au clair de la lune
M:4/4
L:1/4
Q:1/4=112
K:G
|:GGGA|B2A2|GBAA|G4:|AAAA|E2E2|AGFE|D4|GGGA|B2A2|GBAA|G4|]

X:21
T:Sur le pont d'Avignon
M:2/4
L:1/8
Q:1/4=104
K:F
FFF2|GGG2|ABcF|EFGC|FFF2|GGG2|ABcF|GEF2|]

X:22
T:Alouette
M:4/4
L:1/8
Q:1/4=112
K:G
|:G3A B2B2|AGAB G2D2|G3A B2B2|AGAB G4:|

X:23
T:O Tannenbaum
M:3/4
L:1/8
Q:1/4=96
K:F
|:C|F>F F3G|A>A A3A|GA B2E2|G2F2z:|c|cA d3c|cB B3B|BG c3B|BA A3C|
F>F F3G|A>A A3A|GA B2E2|G2F2z|]

X:24
T:We Wish You a Merry Christmas
M:3/4
L:1/8
Q:1/4=144
K:G
D2|G2GAGF|E2E2E2|A2ABAG|F2D2D2|B2BcBA|G2E2DD|E2A2F2|G4
D2|G2G2G2|F4F2|G2F2E2|D4A2|B2A2G2|d2D2DD|E2A2F2|G4|]

X:25
T:Deck the Halls
M:4/4
L:1/8
Q:1/4=132
K:F
|:c3B A2G2|F2G2A2F2|GABG A3G|F2E2F4:|G3A B2G2|A3B c2G2|ABc2 def2|e2d2c4|
c3B A2G2|F2G2A2F2|dddd c3B|A2G2F4|]

X:26
T:The First Nowell
M:3/4
L:1/8
Q:1/4=100
K:D
|:FE|D3EFG|A4Bc|d2c2B2|A4Bc|d2c2B2|A2B2c2|d2A2G2|F4:|
FE|D3EFG|A4dc|B4B2|A6|d2c2B2|A2B2c2|d2A2G2|F4|]

X:27
T:Tempus adest floridum
M:4/4
L:1/4
Q:1/4=120
K:G
|:GGGA|GGD2|EDEF|G2G2:|dcBA|BAG2|EDEF|G2G2|DDEF|GGA2|dcBA|G2c2|G4|]

X:28
T:Korobeiniki
M:4/4
L:1/8
Q:1/4=132
K:Am
e2Bc d2cB|A2Ac e2dc|B3c d2e2|c2A2A4|zd2f a2gf|e3c e2dc|B2Bc d2e2|c2A2A4|]

X:29
T:Sakura, Sakura
M:4/4
L:1/4
Q:1/4=76
K:Am
AAB2|AAB2|ABcB|AB/A/F2|ECEF|EE/C/B,2|ABcB|AB/A/F2|ECEF|EE/C/B,2|AAB2|AAB2|EFB/A/F|E4|]

X:30
T:Mo li hua
M:4/4
L:1/8
Q:1/4=80
K:C
|:E2EG AccA|G2GA G4:|G2G2G2EG|A2A2G4|E2DE G2ED|C2CD C4|EDCE D3E|G2Ac G4|
D2EG DECA,|G,4A,2C2|D3E CDCA,|G,8|]

X:31
T:Three Blind Mice
M:6/8
L:1/8
Q:3/8=80
K:C
E3D3|C6|E3D3|C6|G3F2F|E6|G3F2F|E3-E2G|c2c BAB|c2G G2G|c2c BAB|c2G G2G|c2c BAB|c2G G2F|E3D3|C6|]

X:32
T:Hot Cross Buns
M:4/4
L:1/4
Q:1/4=112
K:G
B2A2|G4|B2A2|G4|GGGG|AAAA|B2A2|G4|]

X:33
T:Old MacDonald
M:4/4
L:1/4
Q:1/4=132
K:G
GGGD|EED2|BBAA|G3D|GGGD|EED2|BBAA|G4|]

X:34
T:Pop Goes the Weasel
M:6/8
L:1/8
Q:3/8=108
K:C
C2C D2D|EGE C3|C2C D2D|E3 C3|C2C D2D|EGE C3|A3 D2F|E3 C3|]

X:35
T:Morrison's Jig
M:6/8
L:1/8
Q:3/8=112
K:Edor
|:E3 B3|EBE AFD|EDE B3|dcB AFD|E3 B3|EBE AFD|G3 FGA|dAG FED:|
|:Bee fee|aee fee|Bee fee|a2g fed|Bee fee|aee fee|gfe d2A|BAG FGA:|

X:36
T:The Skye Boat Song
M:6/8
L:1/8
Q:3/8=56
K:G
|:D>ED G2G|A>BA d3|B>AB E2E|D6:|B>GB B3|A>EA A3|G>EG G3|E6|B>GB B3|A>EA A3|G>EG G3|E3 D3|]

X:37
T:My Bonnie Lies over the Ocean
M:3/4
L:1/4
Q:1/4=120
K:C
G|e>dc|dcA|G2E-|E2G|e>dc|cBc|d3-|d2G|e>dc|dcA|G2E-|E2G|Adc|BAB|c3-|c2|]

X:38
T:Clementine
M:3/4
L:1/8
Q:1/4=112
K:F
F>F|F2C2A>A|A2F2F>A|c2c2B>A|G4G>A|B2B2A>G|A2F2F>A|G2C2E>G|F4|]

X:39
T:Hänschen klein
M:4/4
L:1/4
Q:1/4=120
K:C
GEE2|FDD2|CDEF|GGG2|GEE2|FDD2|CEGG|C4|DDDD|DEF2|EEEE|EFG2|GEE2|FDD2|CEGG|C4|]

X:40
T:Alle meine Entchen
M:4/4
L:1/4
Q:1/4=120
K:C
CDEF|G2G2|AAAA|G4|AAAA|G4|FFFF|E2E2|DDDD|C4|]
"""
