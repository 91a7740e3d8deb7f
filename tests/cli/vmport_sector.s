# A floppy's boot sector: asks the VMware backdoor (port 0x5658) for its version, the RAM's size, the UUID and the time, and writes
# "V EAX EBX ECX EDX" of each to the first serial port, in hexadecimal. Then it makes the pointer absolute and writes the four words
# of each event, "P buttons x y wheel", as the mouse's packets (BIOS, interrupt 15h, C2xxh) say that there is one.
        .code16
        .globl _start
_start: xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp
        movw    $commands, %si
1:      movzbw  (%si), %cx
        incw    %si
        jcxz    2f
        xorl    %ebx, %ebx
        call    backdoor
        pushw   %si
        movb    $'V', %al
        call    words
        popw    %si
        jmp     1b
2:      movl    $0x45414552, %ebx       # enable; it answers with a version
        movw    $41, %cx
        call    backdoor
        movl    $1, %ebx
        movw    $39, %cx
        call    backdoor
        movb    $'E', %al
        call    words
        movl    $0x53424152, %ebx       # absolute
        movw    $41, %cx
        call    backdoor
        movw    $0xc205, %ax            # the BIOS's mouse: initialise, handler, enable
        movb    $3, %bh
        int     $0x15
        movw    $packet, %bx
        movw    $0xc207, %ax
        int     $0x15
        movw    $0xc200, %ax
        movb    $1, %bh
        int     $0x15
        movb    $'!', %al
        call    put
3:      sti
        hlt
        jmp     3b
# called far, as a packet has come: the events that wait
packet: pushal
4:      xorl    %ebx, %ebx
        movw    $40, %cx
        call    backdoor
        movl    answer, %eax
        cmpw    $4, %ax
        jb      5f
        movl    $4, %ebx
        movw    $39, %cx
        call    backdoor
        movb    $'P', %al
        call    words
        jmp     4b
5:      popal
        lret
# CX: command, EBX: argument; the four registers that come back go to `answer`
backdoor:
        movl    $0x564d5868, %eax
        movzwl  %cx, %ecx
        movw    $0x5658, %dx
        inl     %dx, %eax
        movl    %eax, answer
        movl    %ebx, answer+4
        movl    %ecx, answer+8
        movl    %edx, answer+12
        ret
# AL and the four words of `answer`
words:  call    put
        movw    $answer, %si
        movw    $4, %cx
6:      movb    $' ', %al
        call    put
        movl    (%si), %edx
        movw    $8, %bx
7:      roll    $4, %edx
        movb    %dl, %al
        andb    $15, %al
        addb    $'0', %al
        cmpb    $'9', %al
        jbe     8f
        addb    $'a'-'0'-10, %al
8:      call    put
        decw    %bx
        jnz     7b
        addw    $4, %si
        loop    6b
        movb    $'\n', %al
put:    pushw   %dx
        pushw   %ax
        movw    $0x3fd, %dx
9:      inb     %dx, %al
        testb   $0x20, %al
        jz      9b
        popw    %ax
        movw    $0x3f8, %dx
        outb    %al, %dx
        popw    %dx
        ret
commands: .byte 10, 20, 19, 23, 0
        .org    510
        .word   0xaa55
        .equ    answer, 0x600
