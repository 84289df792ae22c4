"""Nested about as deep as a hand would write it."""
if x0:
    if x1:
        if x2:
            if x3:
                if x4:
                    if x5:
                        if x6:
                            if x7:
                                if x8:
                                    if x9:
                                        if x10:
                                            if x11:
                                                if x12:
                                                    if x13:
                                                        if x14:
                                                            if x15:
                                                                if x16:
                                                                    if x17:
                                                                        pass
x = x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7 + x8 + x9 + x10 + x11 + x12 + x13 + x14 + x15 + x16 + x17 + x18 + x19 + x20 + x21 + x22 + x23 + x24 + x25 + x26 + x27 + x28 + x29 + x30 + x31 + x32 + x33 + x34 + x35 + x36 + x37 + x38 + x39 + x40 + x41 + x42 + x43 + x44 + x45 + x46 + x47 + x48 + x49 + x50 + x51 + x52 + x53 + x54 + x55 + x56 + x57 + x58 + x59 + x60 + x61 + x62 + x63 + x64 + x65 + x66 + x67 + x68 + x69 + x70 + x71 + x72 + x73 + x74 + x75 + x76 + x77 + x78 + x79 + x80 + x81 + x82 + x83 + x84 + x85 + x86 + x87 + x88 + x89 + x90 + x91 + x92 + x93 + x94 + x95 + x96 + x97 + x98 + x99 + x100 + x101 + x102 + x103 + x104 + x105 + x106 + x107 + x108 + x109 + x110 + x111 + x112 + x113 + x114 + x115 + x116 + x117 + x118 + x119 + x120 + x121 + x122 + x123 + x124 + x125 + x126 + x127 + x128 + x129 + x130 + x131 + x132 + x133 + x134 + x135 + x136 + x137 + x138 + x139 + x140 + x141 + x142 + x143 + x144 + x145 + x146 + x147 + x148 + x149 + x150 + x151 + x152 + x153 + x154 + x155 + x156 + x157 + x158 + x159 + x160 + x161 + x162 + x163 + x164 + x165 + x166 + x167 + x168 + x169 + x170 + x171 + x172 + x173 + x174 + x175 + x176 + x177 + x178 + x179 + x180 + x181 + x182 + x183 + x184 + x185 + x186 + x187 + x188 + x189 + x190 + x191 + x192 + x193 + x194 + x195 + x196 + x197 + x198 + x199 + x200 + x201 + x202 + x203 + x204 + x205 + x206 + x207 + x208 + x209 + x210 + x211 + x212 + x213 + x214 + x215 + x216 + x217 + x218 + x219 + x220 + x221 + x222 + x223 + x224 + x225 + x226 + x227 + x228 + x229 + x230 + x231 + x232 + x233 + x234 + x235 + x236 + x237 + x238 + x239 + x240 + x241 + x242 + x243 + x244 + x245 + x246 + x247 + x248 + x249 + x250 + x251 + x252 + x253 + x254 + x255 + x256 + x257 + x258 + x259 + x260 + x261 + x262 + x263 + x264 + x265 + x266 + x267 + x268 + x269 + x270 + x271 + x272 + x273 + x274 + x275 + x276 + x277 + x278 + x279 + x280 + x281 + x282 + x283 + x284 + x285 + x286 + x287 + x288 + x289 + x290 + x291 + x292 + x293 + x294 + x295 + x296 + x297 + x298 + x299
y = ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((1))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))
if y == 0: y = 1
elif y == 1: y = 2
elif y == 2: y = 3
elif y == 3: y = 4
elif y == 4: y = 5
elif y == 5: y = 6
elif y == 6: y = 7
elif y == 7: y = 8
elif y == 8: y = 9
elif y == 9: y = 10
elif y == 10: y = 11
elif y == 11: y = 12
elif y == 12: y = 13
elif y == 13: y = 14
elif y == 14: y = 15
elif y == 15: y = 16
elif y == 16: y = 17
elif y == 17: y = 18
elif y == 18: y = 19
elif y == 19: y = 20
elif y == 20: y = 21
elif y == 21: y = 22
elif y == 22: y = 23
elif y == 23: y = 24
elif y == 24: y = 25
elif y == 25: y = 26
elif y == 26: y = 27
elif y == 27: y = 28
elif y == 28: y = 29
elif y == 29: y = 30
elif y == 30: y = 31
elif y == 31: y = 32
elif y == 32: y = 33
elif y == 33: y = 34
elif y == 34: y = 35
elif y == 35: y = 36
elif y == 36: y = 37
elif y == 37: y = 38
elif y == 38: y = 39
elif y == 39: y = 40
elif y == 40: y = 41
elif y == 41: y = 42
elif y == 42: y = 43
elif y == 43: y = 44
elif y == 44: y = 45
elif y == 45: y = 46
elif y == 46: y = 47
elif y == 47: y = 48
elif y == 48: y = 49
elif y == 49: y = 50
elif y == 50: y = 51
elif y == 51: y = 52
elif y == 52: y = 53
elif y == 53: y = 54
elif y == 54: y = 55
elif y == 55: y = 56
elif y == 56: y = 57
elif y == 57: y = 58
elif y == 58: y = 59
elif y == 59: y = 60
elif y == 60: y = 61
elif y == 61: y = 62
elif y == 62: y = 63
elif y == 63: y = 64
elif y == 64: y = 65
elif y == 65: y = 66
elif y == 66: y = 67
elif y == 67: y = 68
elif y == 68: y = 69
elif y == 69: y = 70
elif y == 70: y = 71
elif y == 71: y = 72
elif y == 72: y = 73
elif y == 73: y = 74
elif y == 74: y = 75
elif y == 75: y = 76
elif y == 76: y = 77
elif y == 77: y = 78
elif y == 78: y = 79
elif y == 79: y = 80
elif y == 80: y = 81
elif y == 81: y = 82
elif y == 82: y = 83
elif y == 83: y = 84
elif y == 84: y = 85
elif y == 85: y = 86
elif y == 86: y = 87
elif y == 87: y = 88
elif y == 88: y = 89
elif y == 89: y = 90
elif y == 90: y = 91
elif y == 91: y = 92
elif y == 92: y = 93
elif y == 93: y = 94
elif y == 94: y = 95
elif y == 95: y = 96
elif y == 96: y = 97
elif y == 97: y = 98
elif y == 98: y = 99
elif y == 99: y = 100
