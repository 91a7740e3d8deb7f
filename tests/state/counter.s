# A firmware of our own, 64 KiB: counts the timer's ticks on the first serial port, "COUNT 0001", ...
.code16
.globl _start
_start:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $0x7000, %sp
    movw $tick, 0x20                # interrupt 8
    movw %cs, 0x22
    movw $0, 0x46c
    movw $setup, %si                # port and value, both 8259s and the 8254
1:  lodsb %cs:(%si), %al
    testb %al, %al
    jz 2f
    movzbw %al, %dx
    lodsb %cs:(%si), %al
    outb %al, %dx
    jmp 1b
2:  sti
    xorw %bx, %bx                   # the count
next:
    movw 0x46c, %cx
1:  hlt
    cmpw 0x46c, %cx
    je 1b
    incw %bx
    movw $text, %si
2:  lodsb %cs:(%si), %al
    testb %al, %al
    jz 3f
    call put
    jmp 2b
3:  movw $4, %cx
    movw %bx, %di
4:  rolw $4, %di
    movw %di, %ax
    andb $15, %al
    cmpb $10, %al
    jb 5f
    addb $7, %al
5:  addb $'0', %al
    call put
    loop 4b
    movb $'\n', %al
    call put
    jmp next
put:
    movw $0x3f8, %dx
    outb %al, %dx
    ret
tick:
    pushw %ax
    incw %ss:0x46c
    movb $0x20, %al
    outb %al, $0x20
    popw %ax
    iret
text: .asciz "COUNT "
setup:
    .byte 0x20, 0x11, 0x21, 0x08, 0x21, 0x04, 0x21, 0x01, 0x21, 0xfe
    .byte 0xa0, 0x11, 0xa1, 0x70, 0xa1, 0x02, 0xa1, 0x01, 0xa1, 0xff
    .byte 0x43, 0x34, 0x40, 0xff, 0x40, 0xff, 0
.org 0xfff0
    ljmp $0xf000, $_start
.org 0x10000
