# A floppy's boot sector: enables the mouse through the BIOS (interrupt 15h, C2xxh) and writes each packet to the first serial port
# as "M status dx dy", in hexadecimal.
        .code16
        .globl _start
_start: xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp
        movw    $0xc205, %ax            # initialise, packets of three bytes
        movb    $3, %bh
        int     $0x15
        jc      bad
        movw    $packet, %bx            # the handler
        movw    $0xc207, %ax
        int     $0x15
        jc      bad
        movw    $0xc200, %ax            # enable
        movb    $1, %bh
        int     $0x15
        jc      bad
        movw    $ready, %si
        jmp     say
bad:    movw    $failed, %si
say:    lodsb
        testb   %al, %al
        jz      1f
        call    put
        jmp     say
1:      sti
        hlt
        jmp     1b
# called far; above the return address: 0, dy, dx, status
packet: pushaw
        movw    %sp, %bp
        movb    $'M', %al
        call    put
        movw    16+4+6(%bp), %dx
        call    hex
        movw    16+4+4(%bp), %dx
        call    hex
        movw    16+4+2(%bp), %dx
        call    hex
        movb    $'\n', %al
        call    put
        popaw
        lret
hex:    movb    $' ', %al
        call    put
        movb    %dl, %al
        shrb    $4, %al
        call    digit
        movb    %dl, %al
        andb    $15, %al
digit:  addb    $'0', %al
        cmpb    $'9', %al
        jbe     put
        addb    $'a'-'0'-10, %al
put:    pushw   %dx
        pushw   %ax
        movw    $0x3fd, %dx
2:      inb     %dx, %al
        testb   $0x20, %al
        jz      2b
        popw    %ax
        movw    $0x3f8, %dx
        outb    %al, %dx
        popw    %dx
        ret
ready:  .asciz "MOUSE-READY\n"
failed: .asciz "MOUSE-FAILED\n"
        .org    510
        .word   0xaa55
