-- What `supabase db reset` seeds: the demo tenant, added the way staff add one in Studio. `kestrel dev` seeds more, and
-- the sign-ins, by itself. May be run again.
insert into public.tenants (
    slug, company_name, owner_name, owner_email, owner_phone,
    industry, plan_tier, subscription_status,
    twilio_phone_number, forward_to_number, is_active
) values (
    'haiec', 'HAIEC', 'HAIEC Owner', 'admin@haiec.com', '+18573825169',
    'hvac', 'professional', 'trial',
    '+18573825169', '+18573825169', true
)
on conflict do nothing;
