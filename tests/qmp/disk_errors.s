# A floppy's boot sector: writes and reads sector 1024 of the first disk through the BIOS and says on the first serial port how that
# went: W or R and a dot, or the BIOS's error (two digits). Then "=" when it has read what it wrote, else "!".
        .code16
        .globl _start
_start: xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp
        cld
        movw    $0x6000, %di            # the sector
        movw    $0x4321, %ax
        movw    $256, %cx
        rep stosw
        movb    $'W', %al
        call    put
        movw    $0x4300, %ax
        call    disk
        movw    $0x6000, %di
        xorw    %ax, %ax
        movw    $256, %cx
        rep stosw
        movb    $'R', %al
        call    put
        movw    $0x4200, %ax
        call    disk
        movb    $'=', %al
        cmpw    $0x4321, 0x61fe
        je      1f
        movb    $'!', %al
1:      call    put
        movb    $'\n', %al
        call    put
2:      hlt
        jmp     2b
# the BIOS's call in AX, with the packet; says how it ended
disk:   movb    $0x80, %dl
        movw    $packet, %si
        movb    $1, 2(%si)              # the BIOS says there how many were done
        int     $0x13
        jc      3f
        movb    $'.', %al
        jmp     put
3:      movb    %ah, %bl
        movb    %bl, %al
        shrb    $4, %al
        call    digit
        movb    %bl, %al
        andb    $15, %al
digit:  addb    $'0', %al
        cmpb    $'9', %al
        jbe     put
        addb    $7, %al
put:    movb    %al, %ah
        movw    $0x3fd, %dx
4:      inb     %dx, %al
        testb   $0x20, %al
        jz      4b
        movb    %ah, %al
        movw    $0x3f8, %dx
        outb    %al, %dx
        ret
packet: .byte   16, 0
        .word   1, 0x6000, 0
        .quad   1024
        .org    510
        .word   0xaa55
